"""The record of an adapter in, a model card for people and the hub out."""

import json
from collections.abc import Mapping
from typing import Any

_KEPT = b"<!-- mvadapter writes what is above this line again; notes below it are kept -->\n"


def model_card(record: Mapping[str, Any], earlier: bytes) -> bytes:
    """Write the README.md of an adapter folder, with the front matter that the hub reads.

    Args:
        record: What the adapter's folder says of it.
        earlier: The README.md that is there now, whose notes are kept, in whatever encoding they
            are; empty where there is none.
    """
    return f"{_card(record)}\n".encode() + _KEPT + _notes(earlier)


def _notes(earlier: bytes) -> bytes:
    """What people wrote: below our line; without that line, everything."""
    _, line, notes = earlier.partition(_KEPT)
    return notes if line else b"\n" + earlier if earlier else b""


def _card(record: Mapping[str, Any]) -> str:
    base = _in_one_line(record["base_model_name_or_path"])
    front = ["library_name: mvadapter", "pipeline_tag: feature-extraction"]
    if base != "tiny":
        front += [f"base_model: {json.dumps(base)}", "base_model_relation: adapter"]
    front += ["tags:", "- video-retrieval", "- clip", f"- {record['method']}"]
    inputs = record["inputs"]
    size = f"{record['num_trainable']:,} weights, {record['share_percent']:.2f} % of the backbone's"
    lines = [
        "---", *front, "---", "",
        f"# {record['method']} on {base}", "",
        "An adapter that turns a frozen CLIP into an encoder of videos and captions. "
        "It holds only what was trained; load it beside the same CLIP:", "",
        "```python",
        "from mvadapter import load_adapter", "",
        'encoder = load_adapter("this folder")',
        "```", "",
        "| | |", "|---|---|",
        f"| method | {record['method']} |",
        f"| backbone | {base} (weights {record['base_model_fingerprint'][:12]}) |",
        f"| trained | {size} |",
        f"| frames | {inputs['num_frames']}, sampled {inputs['sampling']} |",
        f"| tokens | {inputs['max_tokens']} |",
        f"| made with | mvadapter {record['mvadapter_version']} |",
        *_training_rows(record["training"] or {}), "",
    ]  # fmt: skip
    return "\n".join(lines)


def _training_rows(training: Mapping[str, Any]) -> list[str]:
    rows = []
    if "data" in training:
        data = training["data"]
        rows.append(
            f"| data | {_in_one_line(data['name'])} (fingerprint {data['fingerprint'][:12]}) |"
        )
    if "selection" in training:
        rows.append(f"| chosen by | {_in_one_line(training['selection'])} |")
    for name, value in training.get("metrics", {}).items():
        rows.append(f"| {name.replace('_', ' ')} | {value:.1f} |")
    return rows


def _in_one_line(name: str) -> str:
    """A name that may hold anything, as one cell of a table."""
    text = " ".join(name.encode("utf-8", "backslashreplace").decode().split())
    return text.replace("|", "\\|").replace("<", "&lt;")
