import os
from dataclasses import replace

import pytest

from mvadapter.errors import ConfigError
from mvadapter.index.cut import cut_moment


@pytest.fixture
def moment(index, videos):
    index.add(videos / "3.mp4")
    return index.view().search("a cat", top=1)[0]


def test_a_moment_is_written_to_the_file_that_is_named(moment, tmp_path):
    done = cut_moment(moment, tmp_path / "mine.mp4")

    assert done.cut.path == tmp_path / "mine.mp4"
    assert done.cut.path.stat().st_size > 0
    assert done.to_dict()["source"] == str(moment.path)


def test_no_file_is_replaced(moment, tmp_path):
    (tmp_path / "mine.mp4").write_text("precious")

    with pytest.raises(ConfigError, match=r"mine\.mp4 already exists"):
        cut_moment(moment, tmp_path / "mine.mp4")

    assert (tmp_path / "mine.mp4").read_text() == "precious"


def test_moments_in_a_folder_get_names_of_their_own(moment, tmp_path):
    first, second = (cut_moment(moment, tmp_path / "cuts").cut.path for _ in range(2))

    assert first != second
    assert first.parent == second.parent == tmp_path / "cuts"


@pytest.mark.parametrize("letter", ["a", "映", "e\u0301", "\U0001f3ac"])
def test_a_long_name_is_cut_short_between_letters(moment, tmp_path, letter):
    source = tmp_path / (letter * (251 // len(letter.encode())) + ".mp4")
    source.write_bytes(moment.path.read_bytes())

    made = [
        cut_moment(replace(moment, path=source), tmp_path / "cuts", pad_seconds=pad).cut.path
        for pad in (0.0, 0.1)
    ]

    names = [path.name for path in made]
    assert names[0].startswith(letter * 50)
    assert names[0].endswith("s.mp4")
    assert names[1].endswith("s_2.mp4")
    assert all(240 < len(os.fsencode(name)) <= 255 for name in names)
    assert all(path.is_file() for path in made)


def test_an_output_whose_name_is_too_long_is_one_line(moment, tmp_path):
    output = tmp_path / ("a" * 300 + ".mp4")

    with pytest.raises(ConfigError, match=r"cannot be written to \(File name too long\)"):
        cut_moment(moment, output)


def test_a_container_that_is_not_written_is_refused_and_no_folder_is_made(moment, tmp_path):
    with pytest.raises(ConfigError, match=r"only \.mp4 files are written"):
        cut_moment(moment, tmp_path / "mine.avi")

    assert not (tmp_path / "mine.avi").exists()
