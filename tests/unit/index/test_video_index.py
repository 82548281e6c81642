import json
import shutil
import signal

import numpy as np
import pytest
import torch

from held import held_at
from made_clips import write_random_clip
from made_training import made_training
from made_videos import with_hole, write_tone
from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.frozen import FrozenConfig
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
from mvadapter.backbone.clip import Backbone
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.checkpoint import save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.errors import AdapterFolderError, ConfigError, IndexFolderError, UnknownNameError
from mvadapter.index.video_index import VideoIndex
from mvadapter.index.views import name_of_folder
from mvadapter.isolation import Isolation
from mvadapter.video.decode import read_segment
from mvadapter.video.preprocess import pad_frames, to_pixels
from tolerances import EMBEDDING


def held(index, view=None):
    """Each segment of a view as (file name, when it begins)."""
    segments = index.view(view).segments
    names = [segments.paths[video].rsplit("/", 1)[-1] for video in segments.video]
    return sorted(zip(names, segments.start_seconds.round(3).tolist(), strict=True))


def expected(*numbers):
    # Video n lasts (n + 1) / 2 seconds, in segments of half a second.
    return [(f"{n}.mp4", 0.5 * segment) for n in numbers for segment in range(n + 1)]


@pytest.fixture
def other_encoder(tmp_path):
    clip = Backbone.load(write_random_clip(tmp_path / "other_clip", seed=1))
    return Encoder(clip, build_adapter(FrozenConfig(), clip))


@pytest.fixture
def trained(random_clip):
    """An encoder whose adapter embeds in another way than CLIP."""
    adapter = build_adapter(MvAdapterConfig(bottleneck_width=8), random_clip)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.5)
    return Encoder(random_clip, adapter, inputs=Inputs(num_frames=2, max_tokens=16))


def test_videos_are_indexed_in_segments_and_found_again_after_reopening(index, videos, random_clip):
    report = index.add(videos)

    reopened = VideoIndex.open(index.folder, backbone=random_clip)
    assert report.num_added == 4
    assert held(reopened) == expected(0, 1, 2, 3)
    assert reopened.views == ("frozen",)
    assert reopened.view().search("a cat") == index.view().search("a cat")


def test_an_index_opens_without_naming_its_clip(index, videos):
    index.add(videos / "0.mp4")

    reopened = VideoIndex.open(index.folder)

    assert reopened.view().search("a cat") == index.view().search("a cat")


def test_stored_vectors_are_those_of_the_encoder(index, videos, encoder):
    index.add(videos / "1.mp4", precision="float32")

    frames = read_segment(videos / "1.mp4", 2, 0.5, 1.0)
    pixels, mask = pad_frames([to_pixels(frames.images, 32)], 2)
    vector = encoder.embed_videos(pixels, mask)[0].numpy()
    np.testing.assert_allclose(index.view().segments.vectors[1], vector, atol=EMBEDDING, rtol=0)


def test_only_what_changed_is_embedded_again(index, videos):
    index.add(videos)
    shutil.copy(videos / "3.mp4", videos / "0.mp4")
    (videos / "1.mp4").unlink()
    shutil.copy(videos / "2.mp4", videos / "4.mp4")
    done = []

    report = index.add(videos, on_progress=lambda *progress: done.append(progress))

    assert (report.num_changed, report.num_removed, report.num_added) == (1, 1, 1)
    assert report.num_unchanged == 2
    assert done[-1][:2] == (2, 2)
    changed = [("0.mp4", 0.5 * segment) for segment in range(4)]
    added = [("4.mp4", 0.5 * segment) for segment in range(3)]
    assert held(index) == changed + expected(2, 3) + added


def test_without_paths_all_that_was_added_is_brought_up_to_date(index, videos):
    index.add([videos / "0.mp4", videos / "1.mp4"])
    (videos / "0.mp4").unlink()

    report = index.add()

    assert (report.num_removed, report.num_unchanged, report.skipped) == (1, 1, ())
    assert held(index) == expected(1)


def test_a_moved_folder_keeps_its_vectors_under_the_new_paths(index, videos):
    index.add(videos)
    vectors = index.view().segments.vectors
    moved = videos.rename(videos.with_name("it's moved"))

    report = index.add(moved)

    assert (report.num_moved, report.num_added, report.num_removed) == (4, 0, 0)
    segments = index.view().segments
    assert all(path.startswith(str(moved)) for path in segments.paths)
    np.testing.assert_array_equal(segments.vectors, vectors)
    # The old folder is empty any more and is forgotten.
    assert index.add().skipped == ()


def test_files_that_are_no_videos_are_reported_and_end_nothing(index, videos):
    (videos / "empty.mp4").touch()
    (videos / "text.mp4").write_text("no video")
    write_tone(videos / "tone.mp4")

    report = index.add([videos, videos / "missing.mp4"])

    assert report.num_added == 4
    assert [(problem.path.name, problem.reason.split(";")[0]) for problem in report.skipped] == [
        ("empty.mp4", "the file is empty"),
        ("missing.mp4", "no such file or directory"),
        ("text.mp4", report.skipped[2].reason.split(";")[0]),
        ("tone.mp4", "contains no video (but audio)"),
    ]
    assert held(index) == expected(0, 1, 2, 3)


def test_a_video_that_became_unreadable_leaves_the_index(index, videos):
    index.add(videos)
    (videos / "3.mp4").write_text("no video any more")

    report = index.add(videos)

    assert [problem.path.name for problem in report.skipped] == ["3.mp4"]
    assert held(index) == expected(0, 1, 2)


def test_of_a_damaged_video_the_readable_segments_are_indexed(index, videos, tmp_path):
    # One keyframe every 0.4 seconds: 0.5 to 1.3 seconds cannot be decoded.
    with_hole(videos / "3.mp4", tmp_path / "hole.mp4", 0.5, 1.3)

    report = index.add(tmp_path / "hole.mp4")

    (problem,) = report.incomplete
    assert problem.path == tmp_path / "hole.mp4"
    assert problem.reason.startswith("2 of 4 segments left out: is damaged")
    assert (report.num_added, report.skipped) == (1, ())
    assert held(index) == [("hole.mp4", 0.0), ("hole.mp4", 1.5)]


def test_an_interrupted_add_leaves_complete_videos_and_continues_next_time(
    index, videos, monkeypatch
):
    monkeypatch.setattr("mvadapter.index.writer._GROUP_SEGMENTS", 2)

    def interrupt(done, total, name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.add(videos, on_progress=interrupt)

    after = held(index)
    assert 0 < len(after) < 10
    complete = {int(name[0]) for name, _ in after}
    assert after == expected(*sorted(complete))
    assert index.add(videos).num_unchanged == len(complete)
    assert held(index) == expected(0, 1, 2, 3)


def test_a_second_writer_is_turned_away_and_harms_nothing(index, videos, random_clip):
    second = VideoIndex.open(index.folder, backbone=random_clip)
    refused = []

    def add_too(done, total, name):
        with pytest.raises(IndexFolderError, match="another process is writing to this index"):
            second.add(videos)
        refused.append(name)

    index.add(videos, on_progress=add_too)

    assert refused
    assert held(index) == expected(0, 1, 2, 3)


def test_an_open_index_sees_what_another_process_adds(index, videos, random_clip):
    reader = VideoIndex.open(index.folder, backbone=random_clip)
    index.add(videos / "0.mp4")
    assert held(reader) == expected(0)

    index.add(videos / "1.mp4")

    assert held(reader) == expected(0, 1)


def test_each_view_has_vectors_of_its_own_for_the_same_videos(index, videos, trained):
    index.add(videos)
    frozen = index.view().search("a cat", top=20)

    name = index.add_view(trained, name="pets")
    report = index.add()

    assert name == report.view == index.view().name == "pets"
    assert report.num_added == 4
    assert index.views == ("frozen", "pets")
    assert held(index) == expected(0, 1, 2, 3)
    assert index.view().search("a cat", top=20) != frozen
    assert index.view("frozen").search("a cat", top=20) == frozen


def test_videos_are_added_to_the_view_that_is_named(index, videos, trained):
    index.add_view(trained, name="pets")

    report = index.add(videos, view="frozen")

    assert (report.view, report.num_videos, report.num_segments) == ("frozen", 4, 10)
    assert held(index, "frozen") == expected(0, 1, 2, 3)
    assert held(index, "pets") == []


def test_an_adapter_folder_is_copied_so_that_the_index_does_without_it(
    index, videos, trained, random_clip, tmp_path
):
    save_adapter(trained, tmp_path / "pets", training=made_training())
    index.add_view(tmp_path / "pets")
    index.add(videos / "0.mp4")
    shutil.rmtree(tmp_path / "pets")

    reopened = VideoIndex.open(index.folder, backbone=random_clip)

    assert reopened.view().name == "pets"
    assert reopened.view().search("a cat") == index.view().search("a cat")
    saved = json.loads((index.folder / "adapters/pets/adapter_config.json").read_text())
    assert saved["training"]["recipe"] == made_training().recipe


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("pets.v2", "pets.v2"),
        # The mark is the beginning of: printf 'my pets' | sha256sum
        ("my pets", "my_pets-8d0df1"),
        ("Vögel", "Vogel-4a3f65"),
        (".猫", "adapter-bc3a9e"),
    ],
)
def test_an_adapter_folder_may_have_any_name(index, videos, trained, tmp_path, folder, name):
    save_adapter(trained, tmp_path / folder)

    added = index.add_view(tmp_path / folder)
    index.add(videos / "0.mp4")

    assert added == name
    assert index.views == ("frozen", name)
    assert held(index) == expected(0)


def test_a_folder_without_an_adapter_adds_no_view(index, tmp_path):
    with pytest.raises(AdapterFolderError, match="no adapter here"):
        index.add_view(tmp_path / "pets")

    assert index.views == ("frozen",)


def test_long_names_of_folders_give_views_that_a_folder_can_hold():
    names = {name_of_folder("a" * 250), name_of_folder("a" * 251), name_of_folder("a" * 200)}

    assert len(names) == 3
    assert all(len(name) == 200 for name in names)


def test_a_name_of_a_view_that_is_too_long_is_refused(videos, encoder, tmp_path):
    with pytest.raises(ConfigError, match="must have at most 200 letters, got 201"):
        VideoIndex.create(tmp_path / "long", encoder, name="a" * 201)


def test_names_that_look_alike_stay_apart():
    names = {name_of_folder(f"runs/{name}") for name in ("a b", "a_b", "a  b", "á b", "a:b")}

    assert len(names) == 5


def test_a_folder_that_was_trained_again_is_not_taken_for_the_old_one(
    index, trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    save_adapter(trained, "pets")
    index.add_view("pets")
    with torch.no_grad():
        next(iter(trained.trainable_parameters().values())).add_(1.0)
    save_adapter(trained, "pets")

    with pytest.raises(IndexFolderError, match="'pets' belongs to another adapter"):
        index.add_view("pets")


def test_the_same_adapter_twice_is_one(index, encoder):
    assert index.add_view(encoder) == "frozen"
    assert index.views == ("frozen",)


def test_two_adapters_cannot_have_one_name(index, trained):
    with pytest.raises(
        IndexFolderError, match=r"'frozen' belongs to another adapter .*; rename this"
    ):
        index.add_view(trained, name="frozen")

    assert index.views == ("frozen",)


def test_a_name_that_cannot_be_a_folder_is_refused_and_leaves_nothing(trained, index, tmp_path):
    with pytest.raises(ConfigError, match=r"name of a view must consist of .*, got '\.\./pets'"):
        index.add_view(trained, name="../pets")
    with pytest.raises(ConfigError, match="name of a view must"):
        VideoIndex.create(tmp_path / "new", trained, name="../pets")

    assert index.views == ("frozen",)
    assert not (tmp_path / "new").exists()


def test_another_clip_is_refused(index, other_encoder):
    with pytest.raises(IndexFolderError, match=r"made with CLIP .*; use that CLIP, or build a new"):
        VideoIndex.open(index.folder, backbone=other_encoder.backbone)
    with pytest.raises(IndexFolderError, match="made with CLIP"):
        index.add_view(other_encoder)


def test_an_unknown_view_is_named_with_the_known_ones(index):
    with pytest.raises(UnknownNameError, match=r"view 'frozn' .* mean 'frozen'"):
        index.add(view="frozn")
    with pytest.raises(UnknownNameError, match="Known: frozen"):
        index.view("pets")


def test_exchanged_weights_are_noticed(index, trained, random_clip):
    shutil.rmtree(index.folder / "adapters/frozen")
    save_adapter(trained, index.folder / "adapters/frozen")

    with pytest.raises(
        IndexFolderError, match="not the adapter that the videos were embedded with"
    ):
        VideoIndex.open(index.folder, backbone=random_clip).view()


def test_an_index_is_not_made_over_something_else(index, encoder, videos):
    with pytest.raises(IndexFolderError, match="is already an index"):
        VideoIndex.create(index.folder, encoder)
    with pytest.raises(IndexFolderError, match=r"contains other files \('0.mp4'\)"):
        VideoIndex.create(videos, encoder)


def test_an_index_is_made_where_making_one_was_interrupted(index, encoder, videos):
    (index.folder / "index.json").unlink()

    again = VideoIndex.create(index.folder, encoder, max_segment_seconds=0.5)

    again.add(videos / "0.mp4")
    assert held(again) == expected(0)


def test_segments_of_no_length_are_refused(encoder, tmp_path):
    with pytest.raises(ConfigError, match="max_segment_seconds must be a number above 0"):
        VideoIndex.create(tmp_path / "index", encoder, max_segment_seconds=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no index here (index.json is missing); create one with: mvadapter index"),
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object"),
        ('{"format": 3}', "written in format 3, this mvadapter reads format 1 and 2; update"),
        ('{"format": 1, "colour": "red"}', "setting 'colour' is not known"),
        ('{"format": 1}', "field required"),
        ('{"format": 2}', "is damaged, or was changed by hand (its sha256 is missing); copy"),
        (
            '{"format": 1, "mvadapter_version": "1", "backbone_name": "tiny",'
            ' "backbone_fingerprint": "0", "max_segment_seconds": 8.0}',
            "names no adapter",
        ),
    ],
)
def test_a_folder_that_is_not_an_index_is_reported_in_one_line(tmp_path, text, message):
    (tmp_path / "notes.txt").write_text("")
    if text is not None:
        (tmp_path / "index.json").write_text(text)

    with pytest.raises(IndexFolderError) as caught:
        VideoIndex.open(tmp_path)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_vectors_are_reported_in_one_line(index):
    shutil.rmtree(index.folder / "vectors")

    with pytest.raises(IndexFolderError, match="vectors of 'frozen' is missing") as caught:
        index.view()

    assert "\n" not in str(caught.value)


def test_after_kill_9_complete_videos_are_there_and_adding_again_adds_the_rest(index, videos):
    for copy in range(4, 12):
        shutil.copy(videos / "3.mp4", videos / f"{copy:02}.mp4")
    # Groups of 16 segments or more, of 42 in all: the first is stored, the second not yet.
    with held_at("mvadapter.index.writer:_store", "index", index.folder, videos, call=2) as adding:
        killed = adding.interrupt(signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL

    survivors = held(index)
    report = index.add(videos)

    copies = [(f"{copy:02}.mp4", 0.5 * segment) for copy in range(4, 12) for segment in range(4)]
    everything = sorted(expected(0, 1, 2, 3) + copies)
    names = {name for name, _ in survivors}
    assert 4 <= len(names) < 12
    assert survivors == [segment for segment in everything if segment[0] in names]
    assert (report.num_unchanged, report.num_added) == (len(names), 12 - len(names))
    assert held(index) == everything


@pytest.mark.parametrize("exists", [True, False])
def test_opening_an_absent_or_empty_folder_creates_nothing(tmp_path, random_clip, exists):
    folder = tmp_path / "new"
    if exists:
        folder.mkdir()

    with pytest.raises(IndexFolderError, match=r"no index here .*create one with: .*\.create"):
        VideoIndex.open(folder, backbone=random_clip)

    assert folder.exists() == exists
    assert list(tmp_path.rglob("*")) == ([folder] if exists else [])


def test_a_report_becomes_plain_values(index, videos):
    (videos / "3.mp4").write_text("not a video")

    report = index.add([videos, videos / "missing.mp4"])

    plain = report.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["skipped"][1] == {
        "path": str(videos / "missing.mp4"),
        "reason": "no such file or directory",
    }
    assert (plain["view"], plain["num_added"], plain["num_videos"]) == ("frozen", 3, 3)
    assert (plain["num_segments"], plain["incomplete"]) == (6, [])


def test_a_view_whose_name_differs_in_case_alone_is_refused(index, trained):
    with pytest.raises(ConfigError, match="'FROZEN' differs from it only in case"):
        index.add_view(trained, name="FROZEN")

    assert index.views == ("frozen",)


@pytest.mark.parametrize("name", ["pets.", "CON", "nul.txt", "LPT1"])
def test_a_name_that_some_disks_refuse_is_refused_everywhere(index, trained, name):
    with pytest.raises(ConfigError, match="choose another name"):
        index.add_view(trained, name=name)


def test_an_index_that_was_made_again_is_read_again(index, videos, encoder):
    index.add(videos / "0.mp4", precision="float32")
    before = index.view()
    shutil.rmtree(index.folder)
    again = VideoIndex.create(index.folder, encoder, max_segment_seconds=0.5)
    again.add(videos / "1.mp4", precision="float32")

    assert index.view().segments.paths == (str(videos / "1.mp4"),)
    assert before.segments.paths == (str(videos / "0.mp4"),)


def test_videos_can_be_decoded_in_processes(index, videos):
    report = index.add(videos, isolation=Isolation(), precision="float32")

    assert (report.num_added, report.skipped) == (4, ())
    assert held(index) == expected(0, 1, 2, 3)
