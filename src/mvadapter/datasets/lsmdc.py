"""LSMDC: short pieces of films, with one sentence of audio description each."""

from mvadapter.datasets.annotations import (
    AnnotationFile,
    AnnotationFolder,
    CaptionGatherer,
    Dataset,
    Split,
    SplitCaptions,
)

_ADVICE = "LSMDC's annotations come with its licence (MPII) and may not be passed on"
# The columns between are times in the film, which the files are already cut to.
_NUM_COLUMNS = 6


def _file(name: str, blob: str = "") -> tuple[AnnotationFile, ...]:
    return (AnnotationFile(name=name, blobs=(blob,) if blob else (), advice=_ADVICE),)


def read_split(folder: AnnotationFolder, split: Split) -> SplitCaptions:
    """Read one split: lines of tab-separated columns without a header.

    Raises:
        DataError: The file is absent or not UTF-8.
    """
    gatherer = CaptionGatherer()
    (file,) = split.files
    for where, line in folder.lines(file):
        columns = line.split("\t")
        if len(columns) != _NUM_COLUMNS:
            gatherer.fault(where, f"expected {_NUM_COLUMNS} columns, got {len(columns)}")
            continue
        video, caption = columns[0].strip(), columns[-1]
        # A line is a sentence, so a piece that comes again has another one.
        if video not in gatherer.videos:
            gatherer.video(video, where)
        gatherer.caption(video, caption, where)
    return gatherer.result()


LSMDC = Dataset(
    name="lsmdc",
    title="LSMDC",
    splits=(
        Split(
            name="train",
            num_videos=101_079,
            num_captions=101_079,
            files=_file("LSMDC16_annos_training.csv"),
        ),
        Split(
            name="val",
            num_videos=7408,
            num_captions=7408,
            files=_file("LSMDC16_annos_val.csv"),
            apart_from=("train",),
        ),
        Split(
            name="test",
            num_videos=1000,
            num_captions=1000,
            files=_file("LSMDC16_challenge_1000_publictect.csv", "04d304722d"),
            apart_from=("train", "val"),
        ),
    ),
    train_split="train",
    test_split="test",
    read=read_split,
)
