"""A summary in, its files out: JSON, Markdown, CSV, plots."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mvadapter.comparison.plots import write_plots
from mvadapter.comparison.summary import Summary
from mvadapter.comparison.tables import csv_text, markdown, tables
from mvadapter.files import write_text


def write_report(summary: Summary, about: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``results.json``, ``tables.md``, ``results.csv`` and the plots.

    Args:
        summary: What was found.
        about: How it was found: command, commit, machine, versions, recipe, and what was left out.
        folder: Where to.

    Returns:
        What stands in ``results.json``.

    Raises:
        OSError: The folder cannot be written to.
    """
    result = {**about, **dataclasses.asdict(summary)}
    write_text(folder / "results.json", json.dumps(result, indent=2, allow_nan=False) + "\n")
    write_text(folder / "results.csv", csv_text(summary))
    says = "\n".join(
        f"- {key}: {about[key]}"
        for key in ("command", "commit", "machine", "threads of a run", "versions", "precision")
    )
    if left_out := len(about["missing"]) + len(about["skipped"]):
        says += f"\n- left out of the test split, alike for all methods: {left_out} videos"
    write_text(folder / "tables.md", f"{says}\n\n{markdown(tables(summary))}")
    write_plots(summary.methods, folder)
    return result
