"""The datasets' own quirks, on samples; and the real files, where they are at hand."""

import json

import pytest

from made_datasets import SAMPLES
from mvadapter.datasets.annotations import AnnotationFolder, git_blob_id
from mvadapter.datasets.catalog import DATASETS
from mvadapter.datasets.check import check_annotations
from mvadapter.datasets.find import VideoFiles
from mvadapter.errors import DataError


def sample_in(folder, name):
    SAMPLES[name].write(folder)
    return folder


def faults(folder, name, split):
    return DATASETS[name].captions(AnnotationFolder(folder), DATASETS[name].split(split)).faults


def append(path, text):
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("name", "split", "file", "text", "message"),
    [
        ("msrvtt", "val-full", "MSRVTT_val.full.csv", "video5\n", r"csv:3: 'video5' occurs twice"),
        ("msrvtt", "val-full", "MSRVTT_val.full.csv", "video77\n", r"csv:3: no caption for"),
        ("msrvtt", "1k-A", "MSRVTT_JSFUSION_test.csv", "r,m,video8,x\n", r"csv:4: .* twice"),
        ("msrvtt", "1k-A", "MSRVTT_JSFUSION_test.csv", "r,m,video3, \n", r"csv:4: empty caption"),
        ("msrvtt", "1k-A", "MSRVTT_JSFUSION_test.csv", "r,m,,x\n", r"csv:4: empty video id"),
        ("msvd", "test", "test_list.txt", "\nnobody\n", r"txt:3: no caption for 'nobody'"),
        ("lsmdc", "test", "LSMDC16_challenge_1000_publictect.csv", "a\tb\n", r"csv:2: expected 6"),
        ("lsmdc", "val", "LSMDC16_annos_val.csv", "x\t1\t2\t3\t4\t \n", r"csv:2: empty caption"),
        ("didemo", "test", "test_list.txt", "9@N.mov\n", r"txt:2: no caption for '9@N"),
    ],
)
def test_a_bad_line_is_a_fault_with_its_place(tmp_path, name, split, file, text, message):
    folder = sample_in(tmp_path, name)
    append(folder / file, text)

    with pytest.raises(DataError, match=message):
        raise DataError("\n".join(faults(folder, name, split)))


@pytest.mark.parametrize(
    ("name", "split", "file", "content", "message"),
    [
        ("msrvtt", "1k-A", "MSRVTT_JSFUSION_test.csv", "key,id\n", r"csv:1: no column 'video_"),
        ("msrvtt", "1k-A", "MSRVTT_JSFUSION_test.csv", 'video_id,sentence\na,"', "not valid CSV"),
        (
            "msrvtt",
            "1k-A",
            "MSRVTT_JSFUSION_test.csv",
            "video_id,sentence\na\n",
            "csv:2: the row has more or",
        ),
        ("msrvtt", "val-full", "MSRVTT_data.json", '{"a": 1,\n}', r"json:2: not valid JSON"),
        ("msrvtt", "val-full", "MSRVTT_data.json", "[]", "expected an object, got list"),
        ("msrvtt", "val-full", "MSRVTT_data.json", "{}", "expected a list, got NoneType"),
        ("msrvtt", "val-full", "MSRVTT_data.json", "[" * 10**5, "nested too deeply"),
        ("msvd", "test", "captions_msvd.json", "[]", "expected an object, got list"),
        ("didemo", "test", "test_data.json", "{}", "expected a list, got dict"),
        ("activitynet", "val1", "val_1.json", "3", "expected an object, got int"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, split, file, content, message):
    folder = sample_in(tmp_path, name)
    (folder / file).write_text(content)

    with pytest.raises(DataError, match=message):
        faults(folder, name, split)


@pytest.mark.parametrize(
    ("name", "split", "file", "content", "message"),
    [
        (
            "msrvtt",
            "val-full",
            "MSRVTT_data.json",
            {"sentences": [3]},
            r"sentences\[0\]: has no video_id",
        ),
        ("msvd", "test", "captions_msvd.json", {"eyhzdC936uk_15_27": "a"}, "a list of captions"),
        ("didemo", "test", "test_data.json", [{"video": "x"}], r"\[0\]: has no video and desc"),
        ("activitynet", "val1", "val_1.json", {"v_x": {}}, "'v_x': expected a list of sentences"),
        ("activitynet", "val1", "val_1.json", {"v_x": {"sentences": []}}, "no caption for 'v_x'"),
    ],
)
def test_a_bad_entry_is_a_fault_with_its_place(tmp_path, name, split, file, content, message):
    folder = sample_in(tmp_path, name)
    (folder / file).write_text(json.dumps(content))

    with pytest.raises(DataError, match=message):
        raise DataError("\n".join(faults(folder, name, split)))


def test_a_pickle_is_never_opened(tmp_path):
    folder = sample_in(tmp_path, "msvd")
    (folder / "captions_msvd.json").unlink()
    # "cos\nsystem" would call os.system when unpickled.
    (folder / "raw-captions.pkl").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")

    with pytest.raises(DataError, match=r"raw-captions\.pkl holds the same, but is never read"):
        faults(folder, "msvd", "test")


def test_a_piece_of_a_film_may_have_two_sentences(tmp_path):
    folder = sample_in(tmp_path, "lsmdc")
    append(folder / "LSMDC16_annos_val.csv", "x\t1\t2\t3\t4\tone\nx\t1\t2\t3\t4\ttwo\n")

    found = DATASETS["lsmdc"].captions(AnnotationFolder(folder), DATASETS["lsmdc"].split("val"))

    assert found.captions["x"] == ("one", "two")
    assert found.faults == ()


def test_a_blob_id_is_the_one_that_git_gives():
    # printf 'a\n' | git hash-object --stdin
    assert git_blob_id(b"a\n") == "7898192261"


@pytest.fixture(scope="module")
def real(shared_folder):
    def folder(name):
        return AnnotationFolder(shared_folder / "data" / "annotations" / name)

    return folder


@pytest.mark.parametrize("name", ["msrvtt", "msvd", "activitynet"])
def test_the_real_files_are_the_known_ones_and_hold_what_papers_say(real, name):
    report, _ = check_annotations(DATASETS[name], real(name))

    assert report.problems == []


def test_of_the_real_didemo_only_the_train_descriptions_are_absent(real):
    report, read = check_annotations(DATASETS["didemo"], real("didemo"))

    assert [problem.kind for problem in report.problems] == ["absent"]
    assert "train_data.json is not here" in report.problems[0].text
    assert {name: len(captions) for name, captions in read.items()} == {"val": 1065, "test": 1004}


def test_the_real_1k_a_has_five_sentences_twice(real):
    found = DATASETS["msrvtt"].captions(real("msrvtt"), DATASETS["msrvtt"].split("1k-A"))

    sentences = [caption for captions in found.captions.values() for caption in captions]
    assert (len(sentences), len(set(sentences))) == (1000, 995)


def test_the_real_msvd_tests_with_21_to_81_captions_a_video(real):
    found = DATASETS["msvd"].captions(real("msvd"), DATASETS["msvd"].split("test"))

    numbers = [len(captions) for captions in found.captions.values()]
    assert (sum(numbers), min(numbers), max(numbers)) == (27_763, 21, 81)


@pytest.mark.parametrize(("split", "percent"), [("train", 22.0), ("val1", 19.5)])
def test_real_activitynet_paragraphs_are_often_too_long(real, split, percent):
    dataset = DATASETS["activitynet"]
    found = dataset.captions(real("activitynet"), dataset.split(split))

    paragraphs = [text for (text,) in found.captions.values()]
    too_long = [text for text in paragraphs if len(text.split()) > 62]
    assert 100 * len(too_long) / len(paragraphs) == pytest.approx(percent, abs=0.5)
    assert not any(text != text.strip() for text in paragraphs)


@pytest.mark.parametrize("name", ["msvd", "didemo"])
def test_no_two_real_ids_stand_for_one_file(real, name, tmp_path):
    ids = [
        line.strip()
        for file in DATASETS[name].files
        if file.name.endswith("_list.txt")
        for _, line in real(name).lines(file)
    ]
    for video_id in ids:
        (tmp_path / f"{video_id}.mp4").write_bytes(b"")
    files = VideoFiles(tmp_path)

    assert all(files.find(video_id) == tmp_path / f"{video_id}.mp4" for video_id in ids)
