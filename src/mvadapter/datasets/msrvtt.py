"""MSR-VTT: ten thousand videos of twenty captions, split in two ways.

1k-A (Yu et al. 2018) tests on a thousand videos with one caption each, written down in a CSV of its
own; the full split (Xu et al. 2016) on 2,990 with all their captions.
"""

import logging

from mvadapter.data.columns import describe_columns
from mvadapter.datasets.annotations import (
    AnnotationFile,
    AnnotationFolder,
    CaptionGatherer,
    Dataset,
    Split,
    SplitCaptions,
    entries_of,
    fields_of,
)
from mvadapter.errors import DataError

log = logging.getLogger(__name__)

_ADVICE = "it comes with CLIP4Clip's msrvtt_data.zip"
_CAPTIONS = AnnotationFile(
    name="MSRVTT_data.json",
    # CLIP4Clip's; and the official train/val and test files joined, as the tests here have them,
    # which has no published id.
    blobs=("f41b0f660f", "7f141a49c0"),
    advice=_ADVICE,
)
_TEST_1K_A = AnnotationFile(name="MSRVTT_JSFUSION_test.csv", blobs=("0ba60f72f2",), advice=_ADVICE)
_ID_COLUMN = "video_id"
_SENTENCE_COLUMN = "sentence"


def _listed(name: str, blob: str) -> tuple[AnnotationFile, ...]:
    return AnnotationFile(name=name, blobs=(blob,), advice=_ADVICE), _CAPTIONS


def read_split(folder: AnnotationFolder, split: Split) -> SplitCaptions:
    """Read one split.

    Raises:
        DataError: A file is absent, or has another content than expected.
    """
    gatherer = CaptionGatherer()
    if split.files == (_TEST_1K_A,):
        for where, row in _rows(folder, _TEST_1K_A, (_ID_COLUMN, _SENTENCE_COLUMN)):
            gatherer.video(row[0], where)
            gatherer.caption(row[0], row[1], where)
        return gatherer.result()
    ids, captions = split.files
    for where, row in _rows(folder, ids, (_ID_COLUMN,)):
        gatherer.video(row[0], where)
    path = folder.where(captions)
    sentences = entries_of(fields_of(folder.json(captions), path).get("sentences"), path)
    videos = gatherer.videos
    for number, sentence in enumerate(sentences):
        match sentence:
            case {"video_id": str(video), "caption": str(caption)}:
                if video in videos:
                    gatherer.caption(video, caption, f"{path}: sentences[{number}]")
            case _:
                gatherer.fault(f"{path}: sentences[{number}]", "has no video_id and caption")
    return gatherer.result()


def _rows(
    folder: AnnotationFolder, file: AnnotationFile, columns: tuple[str, ...]
) -> list[tuple[str, list[str]]]:
    """The place of each row of a CSV file, and its values in the columns of interest.

    Raises:
        DataError: The file is absent, no CSV, or has other columns.
    """
    (_, header), *rows = folder.rows(file) or [("", [])]
    for column in columns:
        if header.count(column) != 1:
            problem = (
                f"column {column!r} comes twice" if column in header else f"no column {column!r}"
            )
            raise DataError(f"{folder.where(file)}:1: {problem}; download the file again")
    found = dict(zip(("video", "caption"), columns, strict=False))
    log.info("%s: %s", folder.where(file), describe_columns(found, header))
    positions = [header.index(column) for column in columns]
    return [(where, [cells[position] for position in positions]) for where, cells in rows]


MSRVTT = Dataset(
    name="msrvtt",
    title="MSR-VTT",
    splits=(
        Split(
            name="1k-A",
            num_videos=1000,
            num_captions=1000,
            files=(_TEST_1K_A,),
            apart_from=("train-9k", "train-7k"),
        ),
        Split(
            name="train-9k",
            num_videos=9000,
            num_captions=180_000,
            files=_listed("MSRVTT_train.9k.csv", "95b6bce731"),
        ),
        Split(
            name="train-7k",
            num_videos=7010,
            num_captions=140_200,
            files=_listed("MSRVTT_train.7k.csv", "8aeb88dcbf"),
        ),
        Split(
            name="train-full",
            num_videos=6513,
            num_captions=130_260,
            files=_listed("MSRVTT_train.full.csv", "0da9de0be4"),
        ),
        Split(
            name="val-full",
            num_videos=497,
            num_captions=9940,
            files=_listed("MSRVTT_val.full.csv", "406c5c3f14"),
            apart_from=("train-full",),
        ),
        Split(
            name="test-full",
            num_videos=2990,
            num_captions=59_800,
            files=_listed("MSRVTT_test.full.csv", "da170e794f"),
            apart_from=("train-full", "val-full"),
        ),
    ),
    train_split="train-9k",
    test_split="1k-A",
    read=read_split,
)
