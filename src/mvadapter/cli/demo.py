"""``mvadapter demo``: the whole path, from videos that it draws to searches that it answers."""

import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mvadapter.cli import console
from mvadapter.errors import ConfigError

if TYPE_CHECKING:
    from mvadapter.data.records import Record
    from mvadapter.encoder.encode import Encoder
    from mvadapter.index.moments import Moment
    from mvadapter.synthetic.stories import Need

_RESULT = "demo.json"
_SEED = 0
# What fits into the five minutes that the demo may take on two cores.
TRAIN_TWINS_PER_NEED = 120
TEST_TWINS_PER_NEED = 16
MAX_TOKENS = 16
NEEDS: "tuple[Need, ...]" = ("direction", "order", "size")
SETTINGS: dict[str, Any] = {
    "method.bottleneck_width": 32,
    "train.epochs": 12,
    "train.batch_size": 32,
    "train.learning_rate": 6e-3,
    # The last epoch is kept: nothing is chosen, so every video can train.
    "train.holdout_percent": 0.0,
    "train.seed": _SEED,
    # Not "auto", which looks at the clock: the same numbers each time.
    "train.precision": "float32",
}
_QUERIES = 3
_FOUND = 3


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where everything goes; made anew each time.")
    ] = Path("demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw videos, adapt the tiny CLIP to them, measure, index and search: the whole path."""
    began = time.monotonic()
    _make_room(output)

    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.methods.frozen import FrozenConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.data.table import read_table
    from mvadapter.embedding.inputs import Inputs
    from mvadapter.encoder.checkpoint import load_adapter
    from mvadapter.encoder.encode import Encoder
    from mvadapter.files import write_text
    from mvadapter.synthetic.dataset import synthetic_videos, write_videos
    from mvadapter.synthetic.stories import SAMPLED_FRAMES

    console.say("1 of 5: drawing videos whose captions need time")
    train = synthetic_videos(TRAIN_TWINS_PER_NEED, part="train", seed=_SEED, needs=NEEDS)
    train_table = write_videos(train, output / "videos", "train")
    test = synthetic_videos(TEST_TWINS_PER_NEED, part="test", seed=_SEED, needs=NEEDS)
    records = read_table(write_videos(test, output / "videos", "test"))

    console.say(f"2 of 5: measuring the frozen CLIP on {len(records)} test videos")
    backbone = Backbone.load("tiny")
    inputs = Inputs(num_frames=SAMPLED_FRAMES, max_tokens=MAX_TOKENS)
    frozen = Encoder(backbone, build_adapter(FrozenConfig(), backbone), inputs=inputs)
    methods = {"frozen": measure(frozen, records)}

    console.say(f"3 of 5: training MV-Adapter on {len(train)} other videos")
    seconds = train_on(train_table, output / "adapter")

    console.say("4 of 5: measuring MV-Adapter on the same test videos")
    adapted = load_adapter(output / "adapter", backbone)
    methods["mv-adapter"] = measure(adapted, records) | {"training_seconds": seconds}

    console.say("5 of 5: indexing the test videos and searching them")
    searches = _search(adapted, records, output)
    result = {
        "test_videos": len(records),
        "methods": methods,
        "searches": searches,
        "seconds": time.monotonic() - began,
    }

    import json

    write_text(output / _RESULT, json.dumps(result, indent=2) + "\n")
    if as_json:
        console.print_json(result)
    else:
        _print_result(result, output)


def _make_room(output: Path) -> None:
    """Remove what an earlier demo left; refuse a folder that holds anything else."""
    ours = {"videos", "adapter", "index", "searches.png", _RESULT}
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output}: is a file; name a folder for the demo with --output")
    strangers = sorted({path.name for path in output.glob("*")} - ours)
    if strangers:
        raise ConfigError(
            f"{output}: holds {strangers[0]!r}, which no demo made; name a new folder with --output"
        )
    for name in ours:
        path = output / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)


def train_on(table: Path, folder: Path, settings: Mapping[str, Any] | None = None) -> float:
    """Train on drawn videos and give the seconds it took.

    Args:
        table: What `write_videos` wrote.
        folder: The adapter folder.
        settings: What takes the place of the demo's settings.
    """
    from mvadapter.data.table import read_table
    from mvadapter.synthetic.stories import SAMPLED_FRAMES
    from mvadapter.training.loop import RunOptions, train_recipe
    from mvadapter.training.recipe import read_recipe

    inputs = {"inputs.num_frames": SAMPLED_FRAMES, "inputs.max_tokens": MAX_TOKENS}
    recipe = read_recipe(None, {"data.path": str(table), **inputs, **SETTINGS, **(settings or {})})
    started = time.monotonic()
    with console.progress("training") as advance:
        options = RunOptions(
            on_step=lambda done, total, loss: advance(done, total, console.loss_note(loss))
        )
        train_recipe(recipe, read_table(table), folder, options)
    return time.monotonic() - started


def measure(encoder: "Encoder", records: "Sequence[Record]") -> dict[str, Any]:
    """Measure both directions and reversal accuracy on drawn videos, in percent."""
    from dataclasses import asdict

    import numpy as np

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
    hits = {
        "text_to_video_recall_at_1": ranks.text_to_video.hits(1),
        "video_to_text_recall_at_1": ranks.video_to_text.hits(1),
        "reversal_accuracy": reversal.numpy(),
    }
    # A video and its twin are no two pieces of evidence; each has one caption.
    twins = np.unique([record.unit for record in embedded.kept], return_inverse=True)[1]
    num_trainable = sum(p.numel() for p in encoder.trainable_parameters().values())
    return {
        **{
            name: asdict(bootstrap_interval(100 * values, group=twins))
            for name, values in hits.items()
        },
        "num_trainable": num_trainable,
        "share_percent": 100 * num_trainable / encoder.backbone.num_weights,
        "training_seconds": 0.0,
    }


def _search(encoder: "Encoder", records: "Sequence[Record]", output: Path) -> list[dict[str, Any]]:
    """Index the test videos, ask for one of each kind, and draw what is found."""
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
    return [
        {
            "query": query,
            "found": [
                {
                    "video": moment.path.name,
                    "caption": own[moment.path.resolve()],
                    "start_seconds": moment.start_seconds,
                    "end_seconds": moment.end_seconds,
                    "score": moment.score,
                }
                for moment in moments
            ],
        }
        for query, moments in found.items()
    ]


def _print_result(result: dict[str, Any], output: Path) -> None:
    rows = []
    for search in result["searches"]:
        for rank, found in enumerate(search["found"], start=1):
            query = search["query"] if rank == 1 else ""
            is_right = "*" if found["caption"] == search["query"] else ""
            rows.append([query, found["caption"] + is_right, f"{found['score']:.3f}"])
    console.print_table(
        "Searches (* the video of the query)", ["query", "found", "score"], rows, text_columns=2
    )

    def cell(interval: dict[str, float]) -> str:
        return f"{interval['mean']:.1f} [{interval['low']:.1f}, {interval['high']:.1f}]"

    console.print_table(
        f"{result['test_videos']} test videos, percent with 95 % bootstrap intervals",
        [
            "",
            "text to video R@1",
            "video to text R@1",
            "reversal accuracy",
            "trained",
            "trained in",
        ],
        [
            [
                name,
                cell(method["text_to_video_recall_at_1"]),
                cell(method["video_to_text_recall_at_1"]),
                cell(method["reversal_accuracy"]),
                f"{method['share_percent']:.1f} %",
                f"{method['training_seconds']:.0f} s" if method["num_trainable"] else "",
            ]
            for name, method in result["methods"].items()
        ],
    )
    console.say(
        f"Reversal accuracy: choosing between a caption and its reverse for a video and for the "
        f"same frames backwards; without a sense of order it is 50.\n"
        f"Everything lies in {output}; the pictures of the searches in {output / 'searches.png'}.\n"
        f"Ask more: {_command()} search {shlex.quote(str(output / 'index'))} "
        f"{shlex.quote(result['searches'][0]['found'][0]['caption'])}"
    )


def _command() -> str:
    """How this very command is called from a shell."""
    return (
        "mvadapter" if shutil.which("mvadapter") else f"{shlex.quote(sys.executable)} -m mvadapter"
    )
