"""DiDeMo: the descriptions of a video's moments, joined to one paragraph.

The videos are those of the lists of collaborative-experts (Liu et al. 2019), as in all later work.
"""

from mvadapter.datasets.annotations import (
    AnnotationFile,
    AnnotationFolder,
    CaptionGatherer,
    Dataset,
    Split,
    SplitCaptions,
    entries_of,
    gather_ids,
)

_ADVICE = "it is in data/ of LisaAnne/LocalizingMoments"


def _files(part: str, list_blob: str, data_blob: str) -> tuple[AnnotationFile, ...]:
    return (
        AnnotationFile(name=f"{part}_list.txt", blobs=(list_blob,)),
        AnnotationFile(name=f"{part}_data.json", blobs=(data_blob,), advice=_ADVICE),
    )


def read_split(folder: AnnotationFolder, split: Split) -> SplitCaptions:
    """Read one split; a video's descriptions come in the order of the JSON file.

    Raises:
        DataError: A file is absent, or has another content than expected.
    """
    ids, descriptions = split.files
    gatherer = CaptionGatherer()
    gather_ids(gatherer, folder, ids)
    path = folder.where(descriptions)
    for number, entry in enumerate(entries_of(folder.json(descriptions), path)):
        match entry:
            case {"video": str(video), "description": str(description)}:
                gatherer.caption(video, description, f"{path}: [{number}]")
            case _:
                gatherer.fault(f"{path}: [{number}]", "has no video and description")
    return gatherer.result()


DIDEMO = Dataset(
    name="didemo",
    title="DiDeMo",
    splits=(
        Split(
            name="train",
            num_videos=8392,
            num_captions=8392,
            files=_files("train", "fc7f69b58b", "ce7c7cb68c"),
        ),
        Split(
            name="val",
            num_videos=1065,
            num_captions=1065,
            files=_files("val", "1a891e1864", "1520194905"),
            apart_from=("train",),
        ),
        Split(
            name="test",
            num_videos=1004,
            num_captions=1004,
            files=_files("test", "68c7927a66", "6cc62877fa"),
            apart_from=("train", "val"),
        ),
    ),
    train_split="train",
    test_split="test",
    read=read_split,
    has_joined_captions=True,
    # Six segments of five seconds were annotated; the end is CLIP4Clip's.
    end_seconds=31.0,
    num_frames=32,
    max_tokens=64,
    epochs=15,
    batch_size=64,
)
