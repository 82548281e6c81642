"""MSVD: 1,970 short videos with some forty captions each; every caption is a query."""

from mvadapter.datasets.annotations import (
    AnnotationFile,
    AnnotationFolder,
    CaptionGatherer,
    Dataset,
    Split,
    SplitCaptions,
    fields_of,
    gather_ids,
)

_CAPTIONS = AnnotationFile(
    name="captions_msvd.json",
    blobs=("c0748444ea",),
    advice=(
        "expected video id -> list of captions; raw-captions.pkl holds the same, but is never "
        "read, because opening a pickle can run code: convert it where you trust it"
    ),
)


def _listed(name: str, *blobs: str) -> tuple[AnnotationFile, ...]:
    return AnnotationFile(name=name, blobs=blobs), _CAPTIONS


def read_split(folder: AnnotationFolder, split: Split) -> SplitCaptions:
    """Read one split.

    Raises:
        DataError: A file is absent, or has another content than expected.
    """
    ids, captions = split.files
    gatherer = CaptionGatherer()
    gather_ids(gatherer, folder, ids)
    path = folder.where(captions)
    for video, texts in fields_of(folder.json(captions), path).items():
        where = f"{path}: {video!r}"
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            gatherer.fault(where, "expected a list of captions")
            continue
        for text in texts:
            gatherer.caption(video, text, where)
    return gatherer.result()


MSVD = Dataset(
    name="msvd",
    title="MSVD",
    splits=(
        Split(
            name="train",
            num_videos=1200,
            num_captions=48_774,
            # As released, and with the newline at the end that some copies have.
            files=_listed("train_list.txt", "83081fbec6", "7da9f06b5f"),
        ),
        Split(
            name="val",
            num_videos=100,
            num_captions=4290,
            files=_listed("val_list.txt", "b25efd36d0", "f2625a3cfb"),
            apart_from=("train",),
        ),
        Split(
            name="test",
            num_videos=670,
            num_captions=27_763,
            files=_listed("test_list.txt", "dd7fc4e9d8"),
            apart_from=("train", "val"),
        ),
    ),
    train_split="train",
    test_split="test",
    read=read_split,
)
