"""Every file that is read back: a flipped bit is found, or changes nothing; none is silent.

The counts are printed: `pytest -s` shows them.
"""

import pytest
import torch

from flipped_bits import FOUND, HARMLESS, flip_bits
from made_videos import write_video
from mvadapter.adapters.build import build_adapter
from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
from mvadapter.backbone.recipes import Resize
from mvadapter.comparison.results import JobResult, Provenance, Trained, read_training, write_result
from mvadapter.data.frame_reader import FrameReader
from mvadapter.data.frame_store import FrameStore, store_frames
from mvadapter.data.frames import FrameSettings
from mvadapter.data.origin import Origin, read_origin, write_origin
from mvadapter.data.records import Record
from mvadapter.embedding.inputs import Inputs
from mvadapter.encoder.checkpoint import load_adapter, save_adapter
from mvadapter.encoder.encode import Encoder
from mvadapter.files import hash_file
from mvadapter.index.moments import Segments
from mvadapter.index.video_index import VideoIndex
from mvadapter.synthetic.dataset import SyntheticSettings, synthetic_records
from mvadapter.training.state import Progress, load_state, restore_state, save_state

pytestmark = pytest.mark.parametrize(
    "bits", [3, pytest.param(150, marks=pytest.mark.slow)], ids=["few", "many"]
)


@pytest.fixture
def encoder(random_clip):
    config = MvAdapterConfig(
        num_frames=2, max_tokens=16, bottleneck_width=4, tied_layers=(-1,), factor_dim=2
    )
    inputs = Inputs(num_frames=2, max_tokens=16)
    return Encoder(random_clip, build_adapter(config, random_clip), inputs=inputs)


def files_in(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def report(what, counts):
    print(f"{what}: {counts[FOUND]} flips found, {counts[HARMLESS]} harmless, 0 silent")  # noqa: T201


def test_in_an_adapter(encoder, random_clip, tmp_path, bits):
    save_adapter(encoder, tmp_path / "adapter")
    before = encoder.trainable_parameters()

    def read():
        again = load_adapter(tmp_path / "adapter", random_clip)
        after = again.trainable_parameters()
        return again.inputs == encoder.inputs and all(
            torch.equal(before[name], after[name]) for name in before
        )

    counts = flip_bits(files_in(tmp_path / "adapter"), read, bits_per_file=bits)

    report("adapter", counts)
    # The model card is for people, and the CLIP's name may change.
    assert counts[HARMLESS] <= bits + bits // 2


def test_in_the_state_of_a_run(encoder, tmp_path, bits):
    path = tmp_path / "run" / "state.safetensors"
    parameters = encoder.trainable_parameters()
    progress = Progress(
        recipe={"train": {"epochs": 3}}, data_fingerprint="0", precision="float32", step=3
    )
    save_state(path, progress, parameters, torch.optim.AdamW(parameters.values()))
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}

    def read():
        again, tensors = load_state(path)
        restore_state(path, tensors, parameters, torch.optim.AdamW(parameters.values()))
        return again == progress and all(
            torch.equal(before[name], parameters[name]) for name in before
        )

    counts = flip_bits([path], read, bits_per_file=8 * bits)

    report("state", counts)
    assert counts[FOUND] == 8 * bits


def test_in_an_index(encoder, random_clip, tmp_path, bits):
    (tmp_path / "videos").mkdir()
    for number in range(3):
        write_video(tmp_path / f"videos/{number}.mp4", 3 if number == 0 else 45)
    index = VideoIndex.create(tmp_path / "index", encoder, max_segment_seconds=0.1)
    index.add(tmp_path / "videos")
    # So few rows stay in their file, and a list of deletions names them.
    (tmp_path / "videos/0.mp4").unlink()
    index.add()
    before = index.view().segments

    def read():
        view = VideoIndex.open(tmp_path / "index", backbone=random_clip).view()
        return same(view.segments, before) and view.encoder.inputs == encoder.inputs

    counts = flip_bits(files_in(tmp_path / "index"), read, bits_per_file=bits)

    report("index", counts)
    assert list(tmp_path.rglob("_deletions/*"))
    # The record, the adapter's two files, the totals, the vectors, and one version's list.
    assert counts[FOUND] >= 5 * bits


def same(ours: Segments, theirs: Segments) -> bool:
    return ours.paths == theirs.paths and all(
        (getattr(ours, name) == getattr(theirs, name)).all()
        for name in ("video", "start_seconds", "end_seconds", "vectors")
    )


def test_in_stored_frames(tmp_path, bits):
    settings = FrameSettings(num_frames=2, sampling="uniform", resize=Resize.crop(32))
    records = [
        Record(
            id=f"v{number}",
            video=write_video(tmp_path / f"{number}.mp4", range(number, number + 8)),
            captions=("one",),
        )
        for number in range(3)
    ]
    stored = store_frames(tmp_path / "t.csv", records, settings, num_workers=1)
    before = [FrameStore(stored.folder, settings).frames(record) for record in records]
    decoded = [settings.decode(record) for record in records]
    assert not any(map(torch.equal, before, decoded))

    def read():
        # What is damaged is decoded again, without the loss of the JPEGs that are stored.
        reader = FrameReader(records, settings, store=FrameStore(stored.folder, settings))
        return all(
            torch.equal(found, frames) or torch.equal(found, again)
            for found, frames, again in zip(reader.read(range(3)), before, decoded, strict=True)
        )

    report("stored frames", flip_bits(files_in(stored.folder), read, bits_per_file=4 * bits))


def test_in_the_origin_of_a_table(tmp_path, bits):
    table = tmp_path / "t.csv"
    table.write_text("video,caption\n")
    origin = Origin(
        dataset="msvd",
        videos="../videos",
        table_sha256=hash_file(table),
        missing={"train": {"a": 2}},
    )
    write_origin(table, origin)

    counts = flip_bits(
        [tmp_path / "t.csv.origin.json"],
        lambda: read_origin(table) == origin,
        bits_per_file=8 * bits,
    )

    report("origin", counts)


def test_in_the_result_of_a_run(tmp_path, bits):
    result = JobResult(
        provenance=Provenance(commit="a", machine="b"),
        found=Trained(
            metrics={"recall": 41.5},
            best_epoch=2,
            num_steps=20,
            num_threads=1,
            adapter_bytes=100,
            skipped={"v1": "no frames"},
        ),
    )
    write_result(tmp_path / "train.json", result)

    counts = flip_bits(
        [tmp_path / "train.json"],
        lambda: read_training(tmp_path / "train.json") == result,
        bits_per_file=8 * bits,
    )

    report("result", counts)


def test_in_drawn_videos(tmp_path, bits):
    settings = SyntheticSettings(needs=("order",), train_twins=1, test_twins=1)
    before = synthetic_records(settings, tmp_path)
    files = files_in(tmp_path)
    contents = {path: path.read_bytes() for path in files}

    def read():
        # They are drawn again, the same to the last bit.
        return synthetic_records(settings, tmp_path) == before and contents == {
            path: path.read_bytes() for path in files
        }

    report("drawn videos", flip_bits(files, read, bits_per_file=1 + bits // 10))
