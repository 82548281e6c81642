"""``mvadapter demo``: draw videos, then train, measure, index and search, in minutes."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvadapter.cli import console
from mvadapter.cli.options import JsonOption
from mvadapter.errors import ConfigError

if TYPE_CHECKING:
    from mvadapter.data.records import Record
    from mvadapter.encoder.encode import Encoder
    from mvadapter.evaluation.bootstrap import Interval
    from mvadapter.index.moments import Moment
    from mvadapter.synthetic.stories import Need

_RESULT = "demo.json"
_SEED = 0
# What fits into the five minutes that the demo may take on two cores.
TRAIN_TWINS_PER_NEED = 120
TEST_TWINS_PER_NEED = 16
MAX_TOKENS = 16
_NEEDS: "tuple[Need, ...]" = ("direction", "order", "size")
SETTINGS: dict[str, Any] = {
    "method.bottleneck_width": 32,
    "train.epochs": 12,
    "train.batch_size": 32,
    "train.learning_rate": 6e-3,
    # The last epoch is kept: nothing is chosen, so every video can train.
    "train.holdout_percent": 0.0,
    "train.seed": _SEED,
    # Not "auto": the same numbers on every processor, but for the rounding of sums.
    "train.precision": "float32",
}
_QUERIES = 3
_FOUND = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredMethod:
    """One method on the test videos; intervals are in percent, over pairs of twins."""

    text_to_video_recall_at_1: "Interval"
    video_to_text_recall_at_1: "Interval"
    reversal_accuracy: "Interval"
    num_trainable: int
    share_percent: float
    """Trained weights in percent of the CLIP's."""
    training_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVideo:
    """A video that a search found."""

    video: str
    caption: str
    start_seconds: float
    end_seconds: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A query and the videos that it found."""

    query: str
    found: tuple[FoundVideo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """The demo's measurements and searches."""

    test_videos: int
    methods: dict[str, MeasuredMethod]
    searches: tuple[Search, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Output folder; overwritten on each run.")
    ] = Path("demo"),
    as_json: JsonOption = False,
) -> None:
    """Run every step on drawn videos: train, measure, index and search."""
    began = time.monotonic()
    _clear_folder(output)

    from mvadapter.data.table import read_table
    from mvadapter.embedding.inputs import Inputs
    from mvadapter.encoder.checkpoint import load_adapter
    from mvadapter.encoder.encode import Encoder
    from mvadapter.files import write_text
    from mvadapter.synthetic.dataset import synthetic_videos, write_videos
    from mvadapter.synthetic.stories import SAMPLED_FRAMES

    console.inform("1 of 5: drawing videos whose captions need time")
    train = synthetic_videos(TRAIN_TWINS_PER_NEED, part="train", seed=_SEED, needs=_NEEDS)
    train_table = write_videos(train, output / "videos", "train")
    test = synthetic_videos(TEST_TWINS_PER_NEED, part="test", seed=_SEED, needs=_NEEDS)
    records = read_table(write_videos(test, output / "videos", "test"))

    console.inform(f"2 of 5: measuring the frozen CLIP on {len(records)} test videos")
    inputs = Inputs(num_frames=SAMPLED_FRAMES, max_tokens=MAX_TOKENS)
    frozen = Encoder.load("tiny", inputs=inputs)
    methods = {"frozen": _measure(frozen, records)}

    console.inform(f"3 of 5: training MV-Adapter on {len(train)} other videos")
    seconds = _train_on(train_table, output / "adapter")

    console.inform("4 of 5: measuring MV-Adapter on the same test videos")
    adapted = load_adapter(output / "adapter", frozen.backbone)
    methods["mv-adapter"] = replace(_measure(adapted, records), training_seconds=seconds)

    console.inform("5 of 5: indexing the test videos and searching them")
    result = DemoResult(
        test_videos=len(records),
        methods=methods,
        searches=tuple(_search(adapted, records, output)),
        seconds=time.monotonic() - began,
    )
    write_text(output / _RESULT, json.dumps(result.to_dict(), indent=2) + "\n")
    if as_json:
        console.print_json(result.to_dict())
    else:
        _print_result(result, output)


def _clear_folder(output: Path) -> None:
    """Begin in an empty folder; only that of an earlier demo is emptied."""
    from mvadapter.files import write_text
    from mvadapter.unfinished import finished_names

    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: is a file; choose a folder with --output")
    ours = {"videos", "adapter", "index", "searches.png", _RESULT}
    names = finished_names(output) if output.is_dir() else set()
    if strangers := sorted(names - ours if _RESULT in names else names):
        raise ConfigError(
            f"{output}: contains {strangers[0]!r}, which no demo wrote; "
            f"choose a new folder with --output"
        )
    for name in ours - {_RESULT}:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
    # First of all, so that a demo that was stopped is known as one.
    write_text(output / _RESULT, "{}\n")


def _train_on(table: Path, folder: Path) -> float:
    """Train on drawn videos and return the seconds it took."""
    from mvadapter.data.table import read_table
    from mvadapter.synthetic.stories import SAMPLED_FRAMES
    from mvadapter.training.loop import RunOptions, train_recipe
    from mvadapter.training.recipe import read_recipe

    inputs = {"inputs.num_frames": SAMPLED_FRAMES, "inputs.max_tokens": MAX_TOKENS}
    recipe = read_recipe(None, {"data.path": str(table), **inputs, **SETTINGS})
    started = time.monotonic()
    with console.progress("training") as advance:
        options = RunOptions(
            on_step=lambda done, total, loss: advance(done, total, console.loss_note(loss))
        )
        train_recipe(recipe, read_table(table), folder, options)
    return time.monotonic() - started


def _measure(encoder: "Encoder", records: "Sequence[Record]") -> MeasuredMethod:
    """Measure both directions and reversal accuracy on drawn videos."""
    from mvadapter.data.records import number_units
    from mvadapter.embedding.records import EmbeddingOptions, embed_records, open_frames
    from mvadapter.evaluation.bootstrap import bootstrap_interval
    from mvadapter.evaluation.ranks import retrieval_ranks
    from mvadapter.evaluation.reversal import measure_reversal
    from mvadapter.synthetic.stories import reverse_caption

    options = EmbeddingOptions()
    frames = open_frames(encoder, records)
    embedded = embed_records(encoder, records, frames, options)
    reversal = measure_reversal(encoder, records, frames, embedded, reverse_caption, options)
    ranks = retrieval_ranks(embedded.scores, embedded.caption_video)
    # A video and its twin are not independent; each has one caption.
    twins = number_units(embedded.kept)
    num_trainable = sum(p.numel() for p in encoder.trainable_parameters().values())
    return MeasuredMethod(
        text_to_video_recall_at_1=bootstrap_interval(
            100 * ranks.text_to_video.hits(1), group=twins
        ),
        video_to_text_recall_at_1=bootstrap_interval(
            100 * ranks.video_to_text.hits(1), group=twins
        ),
        reversal_accuracy=bootstrap_interval(100 * reversal.numpy(), group=twins),
        num_trainable=num_trainable,
        share_percent=100 * num_trainable / encoder.backbone.num_weights,
    )


def _search(encoder: "Encoder", records: "Sequence[Record]", output: Path) -> "Iterator[Search]":
    """Index the test videos, search for one of each kind, and draw the results."""
    from mvadapter.evaluation.picture import Strip, write_picture
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.video.decode import read_segment

    index = VideoIndex.create(output / "index", encoder)
    index.add([output / "videos" / "test"], precision="float32")
    view = index.view()
    own = {record.video.resolve(): record.captions[0] for record in records}
    step = len(records) // _QUERIES
    queries = [record.captions[0] for record in records[: _QUERIES * step : step]]
    found = {query: view.search(query, top=_FOUND) for query in queries}

    def strip(moment: "Moment") -> Strip:
        images = read_segment(
            moment.path, encoder.inputs.num_frames, moment.start_seconds, moment.end_seconds
        ).images
        label = f"{moment.score:.3f}  {moment.path.name}: {own[moment.path.resolve()]}"
        return Strip(label=label, images=images)

    pictures = [(query, [strip(moment) for moment in found[query]]) for query in queries]
    write_picture(output / "searches.png", pictures)
    for query, moments in found.items():
        yield Search(
            query=query,
            found=tuple(
                FoundVideo(
                    video=moment.path.name,
                    caption=own[moment.path.resolve()],
                    start_seconds=moment.start_seconds,
                    end_seconds=moment.end_seconds,
                    score=moment.score,
                )
                for moment in moments
            ),
        )


def _print_result(result: DemoResult, output: Path) -> None:
    rows = []
    for search in result.searches:
        for rank, found in enumerate(search.found, start=1):
            query = search.query if rank == 1 else ""
            mark = "*" if found.caption == search.query else ""
            rows.append([query, found.caption + mark, f"{found.score:.3f}"])
    console.print_table(
        "Searches (* the video of the query)", ["query", "found", "score"], rows, text_columns=2
    )

    def cell(interval: "Interval") -> str:
        return f"{interval.mean:.1f} [{interval.low:.1f}, {interval.high:.1f}]"

    console.print_table(
        f"{result.test_videos} test videos, percent with 95 % bootstrap intervals",
        [
            "",
            "text to video R@1",
            "video to text R@1",
            "reversal accuracy",
            "trained",
            "training time",
        ],
        [
            [
                name,
                cell(method.text_to_video_recall_at_1),
                cell(method.video_to_text_recall_at_1),
                cell(method.reversal_accuracy),
                f"{method.share_percent:.1f} %",
                f"{method.training_seconds:.0f} s" if method.num_trainable else "",
            ]
            for name, method in result.methods.items()
        ],
    )
    console.inform(
        "Reversal accuracy: how often a video, and its frames in reverse order, choose the "
        "correct one of a caption and its reverse; 50 for a model that ignores the order."
    )
    console.inform(
        f"All files are in {output}; pictures of the searches are in {output / 'searches.png'}."
    )
    console.inform(
        f"Search again: {_command()} search {shlex.quote(str(output / 'index'))} "
        f"{shlex.quote(result.searches[0].found[0].caption)}"
    )


def _command() -> str:
    """The shell command that runs this program."""
    return (
        "mvadapter" if shutil.which("mvadapter") else f"{shlex.quote(sys.executable)} -m mvadapter"
    )
