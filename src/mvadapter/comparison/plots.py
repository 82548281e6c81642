"""Summaries in, two plots out, each as PNG and SVG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from mvadapter.comparison.results import DIRECTIONS, Direction
from mvadapter.comparison.summary import MethodSummary
from mvadapter.errors import MissingExtraError
from mvadapter.files import atomic_write

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    # Before any training, because `compare` imports this module.
    raise MissingExtraError("the plots of a comparison", "matplotlib", extra="report") from error

Color: TypeAlias = tuple[float, float, float, float]

_SUFFIXES = (".png", ".svg")
_MARKERS = "osD^v<>PXhd*"
# Ten strong colours, then ten pale ones.
_COLORS = [mpl.colormaps["tab20"](i) for i in (*range(0, 20, 2), *range(1, 20, 2))]


def write_plots(summaries: Sequence[MethodSummary], folder: Path) -> list[Path]:
    """Draw recall against the share of trained weights, and recall by seed.

    Returns:
        What was written.

    Raises:
        OSError: The folder cannot be written to.
    """
    written = []
    for name, draw in (("recall_by_share", _by_share), ("recall_by_seed", _by_seed)):
        for suffix in _SUFFIXES:
            path = folder / f"{name}{suffix}"
            # Without a fixed salt no two SVGs of the same numbers are the same file.
            with mpl.rc_context({"svg.hashsalt": "mvadapter"}), atomic_write(path) as aside:
                metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
                draw(summaries).savefig(aside, format=suffix[1:], dpi=150, metadata=metadata)
            written.append(path)
    return written


def _by_share(summaries: Sequence[MethodSummary]) -> Figure:
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    for axes, direction in zip(figure.subplots(1, 2), DIRECTIONS, strict=True):
        for marker, color, summary in _marked(summaries):
            recall = summary.metrics[direction].recall_at_1
            if not summary.trainable:
                axes.axhline(recall.mean, color="grey", linestyle=":", label=summary.name)
                continue
            axes.errorbar(
                summary.share_percent,
                recall.mean,
                yerr=recall.std,
                fmt=marker,
                color=color,
                label=summary.name,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("trained weights, % of CLIP")
        _label(axes, direction)
    figure.axes[-1].legend(
        title="mean and deviation\nover the seeds",
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
        fontsize="small",
    )
    return figure


def _by_seed(summaries: Sequence[MethodSummary]) -> Figure:
    figure = Figure(figsize=(10, 1.2 + 0.32 * len(summaries)), layout="constrained")
    for axes, direction in zip(figure.subplots(1, 2, sharey=True), DIRECTIONS, strict=True):
        for height, (marker, color, summary) in enumerate(_marked(summaries)):
            recall = summary.metrics[direction].recall_at_1
            axes.plot(recall.values, [height] * len(recall.values), marker, color=color, alpha=0.7)
            axes.plot([recall.mean], [height], "|", color="black", markersize=14)
        axes.margins(y=0.5 / len(summaries))
        axes.set_yticks(range(len(summaries)), [summary.name for summary in summaries])
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(f"{direction.replace('_', ' ')} R@1, %")
    figure.axes[0].invert_yaxis()
    return figure


def _marked(summaries: Sequence[MethodSummary]) -> list[tuple[str, Color, MethodSummary]]:
    """Each method with a marker and a colour; no other of sixty has both."""
    return [
        (_MARKERS[i % len(_MARKERS)], _COLORS[i % len(_COLORS)], summary)
        for i, summary in enumerate(summaries)
    ]


def _label(axes: Axes, direction: Direction) -> None:
    axes.set_title(direction.replace("_", " "))
    axes.set_ylabel("R@1, %")
    axes.grid(alpha=0.3)
