import dataclasses
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from PIL import Image

from mvadapter.errors import ConfigError, DataError
from mvadapter.video.decode import read_segment
from mvadapter.video.preprocess import pad_frames, to_pixels
from tolerances import rounding


def near(score):
    """A product of two unit vectors of 16 numbers, summed in whatever order."""
    return pytest.approx(float(score), rel=0, abs=rounding(16))


@pytest.fixture
def view(index, videos):
    index.add(videos)
    return index.view()


@pytest.fixture
def picture(videos):
    """A frame of 2.mp4, uint8 [height width channel]."""
    return read_segment(videos / "2.mp4", 1, 0.5, 1.0).images[0]


def test_the_best_moment_is_the_segment_that_brute_force_finds(index, videos, encoder):
    index.add(videos)
    view = index.view()
    segments = view.segments
    scores = segments.vectors @ encoder.embed_captions(["a cat"])[0].numpy()

    found = view.search("a cat", top=100)

    best = int(np.argmax(scores))
    assert found[0].score == near(scores[best])
    assert str(found[0].path) == segments.paths[segments.video[best]]
    assert found[0].start_seconds <= segments.start_seconds[best] < found[0].end_seconds


def test_an_empty_index_finds_nothing(index):
    assert index.view().search("a cat") == []


def test_an_empty_query_is_refused(index):
    with pytest.raises(ConfigError, match="the query is empty"):
        index.view().search("  ")


def test_a_view_does_not_change_when_videos_are_added(index, videos):
    index.add(videos / "0.mp4")
    before = index.view()
    found = before.search("a cat")

    index.add(videos)

    assert (before.num_videos, before.num_segments) == (1, 1)
    assert before.search("a cat") == found
    assert (index.view().num_videos, index.view().num_segments) == (4, 10)


def test_a_view_cannot_be_written_to(view):
    segments = view.segments

    with pytest.raises(dataclasses.FrozenInstanceError):
        view.name = "mine"
    for array in (segments.video, segments.start_seconds, segments.end_seconds, segments.vectors):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_view_is_read_again_only_after_a_change(index, videos):
    index.add(videos / "0.mp4")
    first, second = index.view(), index.view()

    index.add(videos / "1.mp4")

    assert second is first
    assert index.view() is not first


def test_threads_search_one_view_while_videos_are_added(index, videos, picture):
    index.add([videos / "0.mp4", videos / "1.mp4"])
    view = index.view()
    queries = ["a cat", picture, view.search("a cat")[0]]
    expected = [view.search(query, top=5) for query in queries]
    is_over = Event()

    def search_until_over():
        found = [[view.search(query, top=5) for query in queries]]
        while not is_over.is_set():
            found.append([view.search(query, top=5) for query in queries])
        return found

    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(search_until_over) for _ in range(4)]
        try:
            index.add(videos)
        finally:
            is_over.set()

    assert all(found == expected for future in futures for found in future.result())
    assert view.num_videos == 2
    assert index.view().num_videos == 4


def test_a_picture_finds_what_its_vector_finds(view, picture, encoder):
    pixels, mask = pad_frames([to_pixels(picture[None], 32)], 1)
    vector = encoder.embed_videos(pixels, mask)[0].numpy()

    found = view.search(picture, top=100)

    assert found == view.search_vector(vector, top=100)
    assert view.search(Image.fromarray(picture), top=100) == found
    assert found[0].score == near((view.segments.vectors @ vector).max())


def test_a_grey_image_is_a_picture_too(view, picture):
    grey = Image.fromarray(picture).convert("L")

    assert view.search(grey) == view.search(grey.convert("RGB"))


@pytest.mark.parametrize("wrong", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_an_array_that_is_not_a_picture_is_refused(view, wrong):
    with pytest.raises(ConfigError, match=r"must be a uint8 array \[height width 3\], got"):
        view.search(wrong)


def test_a_moment_finds_what_is_like_it_and_not_itself(view):
    moment = view.search("a cat", group="video")[1]
    is_own = view.segments.of_moment(moment)
    mean = view.segments.vectors[is_own].mean(axis=0)
    mean = mean / np.linalg.norm(mean)

    found = view.search(moment, top=100)

    scores = view.segments.vectors @ mean
    assert is_own.any()
    assert found[0].score == near(scores[~is_own].max())
    assert not any(
        other.path == moment.path
        and other.start_seconds < moment.end_seconds
        and other.end_seconds > moment.start_seconds
        for other in found
    )


def test_a_moment_that_is_not_indexed_is_refused(view, tmp_path):
    moment = dataclasses.replace(view.search("a cat")[0], path=tmp_path / "other.mp4")

    with pytest.raises(
        ConfigError, match=r"other\.mp4: no segment between .* in the view 'frozen'"
    ):
        view.search(moment)


def test_a_search_in_some_places_finds_the_moments_there_and_no_others(index, videos):
    (videos / "deep").mkdir()
    (videos / "3.mp4").rename(videos / "deep/3.mp4")
    index.add(videos)
    view = index.view()
    every = view.search("a cat", top=100)

    in_folder = view.search("a cat", top=100, where=videos / "deep")
    in_both = view.search("a cat", top=100, where=[str(videos / "1.mp4"), videos / "deep"])

    assert in_folder == [moment for moment in every if moment.path.name == "3.mp4"]
    assert in_both == [moment for moment in every if moment.path.name in {"1.mp4", "3.mp4"}]
    assert in_folder
    assert len(in_both) > len(in_folder)


def test_a_search_in_no_place_of_the_index_finds_nothing(view, tmp_path):
    assert view.search("a cat", where=[tmp_path / "elsewhere"]) == []
    assert view.search("a cat", where=[]) == []


def test_a_vector_of_another_length_is_refused(view):
    vector = view.embed_query("a cat")

    with pytest.raises(ConfigError, match=r"vector must have \d+ numbers and length 1, got shape"):
        view.search_vector(vector * 2)
    with pytest.raises(ConfigError, match="vector must have"):
        view.search_vector(vector[:-1])


def test_the_end_of_a_query_that_is_left_out_is_reported(index, videos, caplog):
    index.add(videos / "0.mp4")
    view = index.view()
    query = "a red circle " * 40 + "at the very end"

    view.search(query)
    view.search("a red circle")

    assert len(caplog.messages) == 1
    max_tokens = view.encoder.inputs.max_tokens
    assert f"the query is longer than the {max_tokens} tokens that view" in caplog.messages[0]
    assert "left out: " in caplog.messages[0]


def test_half_a_character_in_a_query_is_one_line(index, videos):
    index.add(videos / "0.mp4")

    with pytest.raises(DataError, match="contains half a character"):
        index.view().search("a cat \udcff")
