"""The result of a comparison in, its files out: JSON, Markdown, CSV, plots."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvadapter.backbone.precision import PrecisionChoice
from mvadapter.comparison.plan import ComparisonPlan
from mvadapter.comparison.plots import write_plots
from mvadapter.comparison.summary import Summary
from mvadapter.comparison.tables import csv_text, markdown, tables
from mvadapter.files import write_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """What a comparison found, and how."""

    command: str
    """How it was started."""
    versions: dict[str, str]
    """Package -> version that wrote the result."""
    commits: tuple[str, ...]
    """Of the code of all runs."""
    machines: tuple[str, ...]
    """Of all runs."""
    num_threads: tuple[int, ...]
    """CPU threads of the training runs."""
    precision: PrecisionChoice
    """All runs were trained in it."""
    plan: ComparisonPlan
    missing: tuple[str, ...]
    """Videos of the test split that the table lacks."""
    skipped: dict[str, str]
    """Videos of the test split without frames, the same for all methods: record id -> reason."""
    skipped_in_training: dict[str, str]
    """Videos of the train split without frames: record id -> reason."""
    summary: Summary

    @property
    def num_left_out(self) -> int:
        """Videos that the test split should have and that were not measured."""
        return len(self.missing) + len(self.skipped)

    @property
    def headings(self) -> dict[str, str]:
        """The header of the tables: name -> text."""
        return {
            "command": self.command,
            "commit": ", ".join(self.commits),
            "machine": "; ".join(self.machines),
            "threads of a run": " or ".join(map(str, self.num_threads)),
            "versions": ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            "precision": self.precision,
        }

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` holds."""
        return {
            **self.headings,
            "recipe": self.plan.as_table(),
            "missing": list(self.missing),
            "skipped": self.skipped,
            "skipped_in_training": self.skipped_in_training,
            **self.summary.to_dict(),
        }


def write_results(result: ComparisonResult, folder: Path) -> None:
    """Write ``results.json``, ``tables.md``, ``results.csv`` and the plots.

    Raises:
        OSError: The folder cannot be written to.
    """
    text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
    write_text(folder / "results.json", text + "\n")
    write_text(folder / "results.csv", csv_text(result.summary))
    lines = [f"- {name}: {text}" for name, text in result.headings.items()]
    if result.num_left_out:
        lines.append(
            f"- left out of the test split, alike for all methods: {result.num_left_out} videos"
        )
    write_text(folder / "tables.md", "\n".join(lines) + f"\n\n{markdown(tables(result.summary))}")
    write_plots(result.summary.methods, folder)
