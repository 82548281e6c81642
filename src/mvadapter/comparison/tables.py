"""Summaries in, tables out: for a terminal, as Markdown, and as a CSV."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mvadapter.comparison.results import DIRECTIONS, Direction
from mvadapter.comparison.summary import (
    MethodDifference,
    MethodSummary,
    Spread,
    Summary,
)
from mvadapter.documents import csv_tables

_METRICS = (
    ("recall_at_1", "R@1"),
    ("recall_at_5", "R@5"),
    ("recall_at_10", "R@10"),
    ("recall_sum", "Sum"),
    ("median_rank", "MdR"),
    ("mean_rank", "MnR"),
)
_HEADLINE_METRICS = {
    "text_to_video": "text to video R@1",
    "video_to_text": "video to text R@1",
    "reversal": "reversal accuracy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table for people: the first cell of each row is a name, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(summary: Summary) -> list[TextTable]:
    """All tables of a comparison, in reading order."""
    return [
        *(_retrieval(direction, summary.methods) for direction in DIRECTIONS),
        *_needs(summary.methods),
        _cost(summary.methods),
        _storage(summary.methods),
        *_search(summary.methods),
        *_differences(summary.differences),
    ]


def markdown(tables: Sequence[TextTable]) -> str:
    """The tables as Markdown."""
    parts = []
    for table in tables:
        lines = [
            f"### {table.title}",
            "",
            f"| {' | '.join(table.columns)} |",
            f"|---|{'--:|' * (len(table.columns) - 1)}",
            *(f"| {' | '.join(row)} |" for row in table.rows),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def csv_text(summary: Summary) -> str:
    """One row per method, one column per number; of several seeds mean and standard deviation."""
    rows = [_flat(method) for method in summary.methods]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return csv_tables.csv_text(columns, rows)


def _flat(summary: MethodSummary) -> dict[str, str | float | int | None]:
    row: dict[str, str | float | int | None] = {
        "method": summary.name,
        "trainable": summary.trainable,
        "share_percent": summary.share_percent,
        "adapter_bytes": summary.adapter_bytes,
        "learning_rate": summary.learning_rate,
        "num_seeds": len(summary.seeds),
        "seconds_per_step": summary.seconds_per_step,
        "peak_bytes": summary.peak_bytes,
        "videos_per_second": summary.videos_per_second,
    }
    for name, spread in _named_spreads(summary):
        row[f"{name}.mean"], row[f"{name}.std"] = spread.mean, spread.std
    for storage in summary.storage:
        row[f"storage_bytes_of_{storage.num_tasks}_tasks"] = storage.num_bytes
        row[f"storage_percent_of_{storage.num_tasks}_tasks"] = storage.percent_of_full
    return row


def _named_spreads(summary: MethodSummary) -> Iterator[tuple[str, Spread]]:
    for direction, metrics in summary.metrics.items():
        for field in dataclasses.fields(metrics):
            yield f"{direction}.{field.name}", getattr(metrics, field.name)
    for need, of_need in summary.needs.items():
        for metric, spread in of_need.items():
            yield f"{need}.{metric}", spread


def _retrieval(direction: Direction, summaries: Sequence[MethodSummary]) -> TextTable:
    return TextTable(
        title=f"{direction.replace('_', ' ').capitalize()}, test split",
        columns=("method", "trained", *(label for _, label in _METRICS)),
        rows=tuple(
            (
                summary.name,
                f"{summary.share_percent:.2f} %",
                *(_spread(getattr(summary.metrics[direction], key)) for key, _ in _METRICS),
            )
            for summary in summaries
        ),
    )


def _needs(summaries: Sequence[MethodSummary]) -> list[TextTable]:
    found = []
    for metric, label in _HEADLINE_METRICS.items():
        needs = [need for need, table in summaries[0].needs.items() if metric in table]
        if needs:
            rows = tuple(
                (summary.name, *(_spread(summary.needs[need][metric]) for need in needs))
                for summary in summaries
            )
            title = f"{label[0].upper()}{label[1:]} by what captions need"
            found.append(TextTable(title=title, columns=("method", *needs), rows=rows))
    return found


def _cost(summaries: Sequence[MethodSummary]) -> TextTable:
    return TextTable(
        title="Cost",
        columns=(
            "method",
            "trained weights",
            "trained",
            "peak memory",
            "seconds a step",
            "videos a second",
        ),
        rows=tuple(
            (
                summary.name,
                f"{summary.trainable:,}",
                f"{summary.share_percent:.2f} %",
                _megabytes(summary.peak_bytes),
                f"{summary.seconds_per_step:.3f}" if summary.trainable else "",
                f"{summary.videos_per_second:.1f}",
            )
            for summary in summaries
        ),
    )


def _storage(summaries: Sequence[MethodSummary]) -> TextTable:
    return TextTable(
        title="Storage, in percent of as many fully fine-tuned CLIPs",
        columns=(
            "method",
            "adapter",
            *(_tasks(storage.num_tasks) for storage in summaries[0].storage),
        ),
        rows=tuple(
            (
                summary.name,
                _megabytes(summary.adapter_bytes),
                *(f"{storage.percent_of_full:.1f} %" for storage in summary.storage),
            )
            for summary in summaries
        ),
    )


def _search(summaries: Sequence[MethodSummary]) -> list[TextTable]:
    trained = [summary for summary in summaries if len(summary.search) > 1]
    if not trained:
        return []
    rates = sorted({rate for summary in trained for rate in summary.search}, key=float)
    table = TextTable(
        title="Search of the learning rate: sum of the six recalls on the held-out part",
        columns=("method", *rates, "chosen"),
        rows=tuple(
            (
                summary.name,
                *(_sum(summary, rate) for rate in rates),
                _chosen(summary),
            )
            for summary in trained
        ),
    )
    return [table]


def _differences(differences: Sequence[MethodDifference]) -> list[TextTable]:
    metrics = list(dict.fromkeys(one.metric for one in differences))
    return [
        TextTable(
            title=f"Difference to {rows[0].reference}, {_HEADLINE_METRICS[metric]}, in points",
            columns=("method", "difference", "95 % interval", "p", "significant (Holm)"),
            rows=tuple(
                (
                    one.name,
                    f"{one.difference.mean:+.1f}",
                    f"{one.difference.low:+.1f} to {one.difference.high:+.1f}",
                    one.difference.p_text,
                    "yes" if one.is_significant else "no",
                )
                for one in rows
            ),
        )
        for metric in metrics
        for rows in [[one for one in differences if one.metric == metric]]
    ]


def _spread(spread: Spread) -> str:
    if len(spread.values) == 1:
        return f"{spread.mean:.1f}"
    return f"{spread.mean:.1f} ± {spread.std:.1f}"


def _tasks(num_tasks: int) -> str:
    return "1 task" if num_tasks == 1 else f"{num_tasks} tasks"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes else ""


def _chosen(summary: MethodSummary) -> str:
    """The learning rate, marked where the search stopped at an end."""
    rate = f"{summary.learning_rate:g}"
    ends = [f(summary.search, key=float) for f in (min, max)]
    return f"{rate} (an end)" if rate in ends else rate


def _sum(summary: MethodSummary, rate: str) -> str:
    if rate not in summary.search:
        return ""
    found = summary.search[rate]
    return "diverged" if found is None else f"{found:.1f}"
