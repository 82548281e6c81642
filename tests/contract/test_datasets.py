"""The promises of every dataset; a new one is a sample in made_datasets.py and inherits these tests."""

import ast
import dataclasses
import gzip
import inspect
from pathlib import Path

import pytest

from made_datasets import SAMPLES
from mvadapter.data.origin import missing_captions
from mvadapter.data.table import read_table
from mvadapter.datasets.annotations import AnnotationFolder
from mvadapter.datasets.catalog import DATASETS
from mvadapter.datasets.check import check_annotations
from mvadapter.datasets.find import VideoFiles
from mvadapter.datasets.prepare import find_records, write_prepared
from mvadapter.errors import DataError, UnknownNameError

pytestmark = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)


@pytest.fixture
def folder(sample, tmp_path):
    sample.write(tmp_path / "annotations")
    return tmp_path / "annotations"


@pytest.fixture
def videos(sample, tmp_path):
    return sample.write_videos(tmp_path / "videos")


def test_a_dataset_imports_no_other(sample):
    homes = {dataset.read.__module__ for dataset in DATASETS.values()}
    source = Path(inspect.getsourcefile(sample.dataset.read)).read_text(encoding="utf-8")

    imported = {
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    }

    assert len(homes) == len(DATASETS)
    assert imported & homes == set()


def read(sample, folder, split):
    return sample.dataset.captions(AnnotationFolder(folder), sample.dataset.split(split))


def as_published(sample):
    """The dataset as it would be if the sample were all of it."""
    splits = tuple(
        dataclasses.replace(
            split,
            num_videos=len(sample.captions[split.name]),
            num_captions=sum(map(len, sample.captions[split.name].values())),
            files=tuple(dataclasses.replace(file, blobs=()) for file in split.files),
        )
        for split in sample.dataset.splits
    )

    def with_real_files(folder, split):
        return sample.dataset.read(folder, sample.dataset.split(split.name))

    return dataclasses.replace(sample.dataset, splits=splits, read=with_real_files)


def test_every_dataset_has_a_sample(sample):
    assert SAMPLES.keys() == DATASETS.keys()
    assert sample.captions.keys() == {split.name for split in sample.dataset.splits}


def test_what_tests_is_apart_from_what_trains(sample):
    dataset = sample.dataset

    assert dataset.train_split in dataset.split(dataset.test_split).apart_from
    for split in dataset.splits:
        for other in split.apart_from:
            assert not sample.captions[split.name].keys() & sample.captions[other].keys()


def test_every_split_is_read_exactly_and_in_order(sample, folder):
    for split, captions in sample.captions.items():
        found = read(sample, folder, split)

        assert list(found.captions.items()) == list(captions.items())
        assert found.faults == ()


def test_packed_files_are_read_alike(sample, folder):
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()

    for split, captions in sample.captions.items():
        assert read(sample, folder, split).captions == captions


def test_a_sound_copy_has_no_problems(sample, folder):
    report, _ = check_annotations(as_published(sample), AnnotationFolder(folder))

    assert report.problems == []


def test_a_sample_is_not_taken_for_the_dataset(sample, folder):
    report, _ = check_annotations(sample.dataset, AnnotationFolder(folder))

    kinds = [problem.kind for problem in report.problems]
    assert kinds.count("count") == len(sample.dataset.splits)
    assert kinds.count("changed") == sum(bool(file.blobs) for file in sample.dataset.files)


def test_an_absent_file_is_reported_for_its_splits_and_no_others(sample, folder):
    file = sample.dataset.files[0]
    (folder / file.name).unlink()

    report, read = check_annotations(as_published(sample), AnnotationFolder(folder))

    lacking = {split.name for split in sample.dataset.splits if file in split.files}
    assert lacking == {name for name, split in report.splits.items() if split.found is None}
    assert len(report.problems) == len(lacking)
    assert all(f"{file.name} is not here" in problem.text for problem in report.problems)
    assert read.keys() == sample.captions.keys() - lacking


def test_a_file_that_is_not_utf8_is_refused_with_its_line(sample, folder):
    for file in sample.dataset.files:
        path = folder / file.name
        sound = path.read_bytes()
        lines = sound.rstrip(b"\n").count(b"\n") + 2
        path.write_bytes(sound.rstrip(b"\n") + b"\n\xff")
        split = next(split for split in sample.dataset.splits if file in split.files)

        with pytest.raises(DataError, match=rf"{file.name}:{lines}: not UTF-8 text"):
            read(sample, folder, split.name)
        path.write_bytes(sound)


def test_a_packed_file_that_is_damaged_is_refused(sample, folder):
    file = sample.dataset.files[0]
    (folder / file.name).unlink()
    (folder / f"{file.name}.gz").write_bytes(b"\x1f\x8b no")

    split = next(split for split in sample.dataset.splits if file in split.files)
    with pytest.raises(DataError, match=rf"{file.name}\.gz: cannot be unpacked"):
        read(sample, folder, split.name)


def test_an_unknown_split_is_refused_with_the_known_ones(sample):
    with pytest.raises(UnknownNameError, match=f"{sample.name}: split 'tset' is not known"):
        sample.dataset.split("tset")


def test_the_table_holds_every_split_with_its_files(sample, folder, videos, tmp_path):
    prepared = find_records(sample.dataset, AnnotationFolder(folder), VideoFiles(videos))
    table = tmp_path / "elsewhere" / "table.parquet"
    write_prepared(sample.dataset, prepared, table, videos)

    records = read_table(table)

    assert records == prepared.records
    assert {
        split: {record.id: record.captions for record in records if record.split == split}
        for split in sample.captions
    } == sample.captions
    assert {record.id: record.video for record in records} == {
        video: videos / file for video, file in sample.files.items()
    }
    assert {record.end_seconds for record in records} == {sample.dataset.end_seconds}


def test_a_missing_video_is_an_error_or_remembered(sample, folder, videos, tmp_path):
    split = sample.dataset.test_split
    lost, captions = next(iter(sample.captions[split].items()))
    (videos / sample.files[lost]).unlink()
    arguments = sample.dataset, AnnotationFolder(folder), VideoFiles(videos)

    with pytest.raises(DataError, match=r"no file for 1 of the .*set missing to 'skip'"):
        find_records(*arguments)
    prepared = find_records(*arguments, missing="skip")
    write_prepared(sample.dataset, prepared, tmp_path / "t.csv", videos)

    assert prepared.counts()[split].missing == (lost,)
    assert prepared.counts()[split].videos == len(sample.captions[split]) - 1
    assert (split, lost) not in {
        (record.split, record.id) for record in read_table(tmp_path / "t.csv")
    }
    assert missing_captions(tmp_path / "t.csv", split) == {lost: len(captions)}
    assert missing_captions(tmp_path / "t.csv", sample.dataset.train_split) == {}


def test_two_files_for_one_video_are_both_named(sample, folder, videos):
    file = videos / sample.files[next(iter(sample.captions[sample.dataset.test_split]))]
    other = videos / "copy" / f"{file.name}.mp4"
    other.parent.mkdir()
    other.write_bytes(b"")

    with pytest.raises(DataError) as caught:
        find_records(sample.dataset, AnnotationFolder(folder), VideoFiles(videos))
    assert str(file) in str(caught.value)
    assert str(other) in str(caught.value)


def test_named_splits_alone_are_read(sample, folder, videos):
    split = sample.dataset.test_split
    for file in set(sample.dataset.files) - set(sample.dataset.split(split).files):
        (folder / file.name).unlink()
    arguments = sample.dataset, AnnotationFolder(folder), VideoFiles(videos)

    prepared = find_records(*arguments, splits=[split, split])
    with pytest.raises(DataError, match=f"split {sample.dataset.train_split!r} cannot be read"):
        find_records(*arguments, splits=[split, sample.dataset.train_split])

    assert [record.id for record in prepared.records] == list(sample.captions[split])
    assert {record.split for record in prepared.records} == {split}
