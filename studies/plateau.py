"""What lets MV-Adapter tell a video from its reversal: the demo's training, one change at a time.

    python studies/plateau.py --work FOLDER [--only NAME ...] [--seeds 0 ...]

Each variant trains on the same drawn videos with the demo's settings but for what its name says.
Prints a Markdown table for docs/study.md and writes the numbers to FOLDER/plateau.json. A variant
that was measured before is not run again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from mvadapter.cli.demo import NEEDS, TEST_TWINS_PER_NEED, TRAIN_TWINS_PER_NEED, measure, train_on
from mvadapter.data.synthetic import synthetic_videos, write_videos
from mvadapter.data.table import read_table
from mvadapter.encoder.checkpoint import load_adapter

VARIANTS: dict[str, dict[str, Any]] = {
    "as in the demo": {},
    "positions as the authors start them (0.01)": {"method.position_init": "authors"},
    "twins in random batches": {},
    "gates as the authors start them": {"method.tying_init": "authors"},
    "no tying": {"method.tying": "none"},
    "no calibration": {"method.depth": "transformer"},
    "a learning rate of 1e-3": {"train.learning_rate": 1e-3},
    "no transformer (down and up only)": {"method.depth": "bottleneck"},
}
"""By name, what takes the place of the demo's settings."""


def main() -> None:
    """Run the variants that are missing and print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    options = parser.parse_args()
    tables = _tables(options.work)
    path = options.work / "plateau.json"
    results = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for seed in options.seeds:
        for name in options.only:
            key = f"{name}, seed {seed}"
            if key not in results:
                results[key] = _run(name, seed, tables, options.work / "adapters" / key)
                path.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
    _print(results)


def _tables(work: Path) -> dict[str, Path]:
    """The videos' tables: with twins side by side in a batch, at random, and for testing."""
    train = synthetic_videos(TRAIN_TWINS_PER_NEED, part="train", seed=0, needs=NEEDS)
    test = synthetic_videos(TEST_TWINS_PER_NEED, part="test", seed=0, needs=NEEDS)
    together = write_videos(train, work, "train")
    apart = work / "captions-train-apart.csv"
    rows = [line.rsplit(",", 1)[0] for line in together.read_text("utf-8").splitlines()]
    apart.write_text("\n".join(rows) + "\n", "utf-8")
    return {"together": together, "apart": apart, "test": write_videos(test, work, "test")}


def _run(name: str, seed: int, tables: dict[str, Path], folder: Path) -> dict[str, Any]:
    print(f"running: {name}, seed {seed}", flush=True)
    table = tables["apart" if name == "twins in random batches" else "together"]
    seconds = train_on(table, folder, {"train.seed": seed, **VARIANTS[name]})
    encoder = load_adapter(folder)
    rows = (folder / "run" / "log.jsonl").read_text("utf-8").splitlines()
    losses = [row["loss"] for row in map(json.loads, rows) if "loss" in row]
    return {
        **measure(encoder, read_table(tables["test"])),
        "training_seconds": seconds,
        "last_losses": sum(losses[-20:]) / 20,
        "steps": len(losses),
    }


def _print(results: dict[str, Any]) -> None:
    print("| variant | trained | loss at the end | T2V R@1 | V2T R@1 | reversal accuracy |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, result in results.items():
        cells = [
            f"{result[key]['mean']:.1f} [{result[key]['low']:.1f}, {result[key]['high']:.1f}]"
            for key in (
                "text_to_video_recall_at_1",
                "video_to_text_recall_at_1",
                "reversal_accuracy",
            )
        ]
        share, loss = result["share_percent"], result["last_losses"]
        print(f"| {name} | {share:.1f} % | {loss:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
