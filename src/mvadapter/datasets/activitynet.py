"""ActivityNet Captions: the sentences of a video of some two minutes, joined to one paragraph."""

from mvadapter.datasets.annotations import (
    AnnotationFile,
    AnnotationFolder,
    CaptionGatherer,
    Dataset,
    Split,
    SplitCaptions,
    fields_of,
)


def read_split(folder: AnnotationFolder, split: Split) -> SplitCaptions:
    """Read one split: the videos that the JSON file has sentences for.

    Raises:
        DataError: The file is absent, or has another content than expected.
    """
    (file,) = split.files
    path = folder.where(file)
    gatherer = CaptionGatherer()
    for video, entry in fields_of(folder.json(file), path).items():
        where = f"{path}: {video!r}"
        sentences = entry.get("sentences") if isinstance(entry, dict) else None
        if not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
            gatherer.fault(where, "expected a list of sentences")
            continue
        gatherer.video(video, where)
        for sentence in sentences:
            gatherer.caption(video, sentence, where)
    return gatherer.result()


ACTIVITYNET = Dataset(
    name="activitynet",
    title="ActivityNet Captions",
    splits=(
        Split(
            name="train",
            num_videos=10_009,
            num_captions=10_009,
            files=(AnnotationFile(name="train.json", blobs=("a9397f6e50",)),),
        ),
        Split(
            name="val1",
            num_videos=4917,
            num_captions=4917,
            files=(AnnotationFile(name="val_1.json", blobs=("71006d3f4f",)),),
            apart_from=("train",),
        ),
    ),
    train_split="train",
    test_split="val1",
    read=read_split,
    has_joined_captions=True,
    num_frames=32,
    max_tokens=64,
    epochs=15,
    batch_size=64,
)
