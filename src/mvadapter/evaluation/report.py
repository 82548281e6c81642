"""A result and its ranks in, one page to read in a browser out."""

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from mvadapter.evaluation.measure import direction_labels, labelled_directions
from mvadapter.evaluation.metrics import RECALLS_AT
from mvadapter.evaluation.ranks import QueryRanks, RetrievalRanks
from mvadapter.files import write_text
from mvadapter.shapes import FrameImages

FRAMES_PER_STRIP = 5
_STRIP_HEIGHT_PX = 100
_GAP_PX = 3
_GAP_COLOR = (128, 128, 128)
_EXAMPLES = 6
# What a result holds only where it was asked for, or where there are records.
_OPTIONAL = (
    "dataset", "split", "data_fingerprint", "inputs", "policy", "trained_on", "against",
    "dual_softmax", "query_bank_norm",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Names:
    """What the page calls and shows captions and videos by their positions."""

    captions: Sequence[str]
    videos: Sequence[str]
    frames: Callable[[int], FrameImages | None]
    """Some frames of a video; None where there are none to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strip:
    """A video, and some frames of it side by side in one JPEG."""

    label: str
    picture: str = ""
    """A data URI."""
    width_px: int = 0
    height_px: int = 0
    num_frames: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bin:
    label: str
    num_queries: int
    width_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    caption: str
    rank: float
    num_items: int
    right: _Strip
    first: _Strip | None
    """What came first, where it was not the right one."""


def write_report(
    path: Path,
    result: dict[str, Any],
    ranks: RetrievalRanks,
    names: Names,
) -> None:
    """Write one HTML file that holds all it shows and asks for nothing else.

    Args:
        path: The file.
        result: What `mvadapter evaluate` writes as JSON.
        ranks: The plain ranks that it sums up.
        names: The captions and videos that were ranked.

    Raises:
        OSError: The folder cannot be written to.
    """
    here = files("mvadapter.evaluation")
    style = here.joinpath("report.css").read_text(encoding="utf-8")
    # The page may apply this style and none that a caption might bring along.
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    labels = direction_labels(result["protocol"])
    best, worst = choose_examples(ranks.text_to_video)
    environment = Environment(
        loader=PackageLoader("mvadapter", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        result=dict.fromkeys(_OPTIONAL) | result,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=style_hash,
        recalls=[f"recall_at_{k}" for k in RECALLS_AT],
        labels=labels,
        directions=labelled_directions(result),
        histograms=[
            {"label": label, "bins": rank_bins(getattr(ranks, name))}
            for name, label in labels.items()
        ],
        examples=[
            {
                "id": "best",
                "title": "Best queries",
                "note": "Text to video: best rank first, then the highest score; a video once.",
                "queries": [_query(place, ranks.text_to_video, names) for place in best],
            },
            {
                "id": "worst",
                "title": "Worst queries",
                "note": "Text to video: worst rank first; a video once.",
                "queries": [_query(place, ranks.text_to_video, names) for place in worst],
            },
        ],
    )
    # A file name that is no UTF-8 is shown with its bytes as escapes.
    write_text(path, page.encode("utf-8", "backslashreplace").decode())


def _strip(label: str, images: FrameImages | None) -> _Strip:
    if images is None:
        return _Strip(label=label)
    height = _STRIP_HEIGHT_PX
    frames = [Image.fromarray(image) for image in images]
    frames = [
        frame.resize((max(1, round(frame.width * height / frame.height)), height))
        for frame in frames
    ]
    width = sum(frame.width + _GAP_PX for frame in frames) - _GAP_PX
    row = Image.new("RGB", (width, height), _GAP_COLOR)
    left = 0
    for frame in frames:
        row.paste(frame, (left, 0))
        left += frame.width + _GAP_PX
    data = io.BytesIO()
    row.save(data, format="jpeg", quality=80)
    return _Strip(
        label=label,
        picture=f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}",
        width_px=row.width,
        height_px=row.height,
        num_frames=len(frames),
    )


def rank_bins(ranks: QueryRanks) -> list[_Bin]:
    """Count queries by rank: 1, 2, 3 to 5, 6 to 10, and so on up to the number of items."""
    most = int(ranks.num_items.max())
    edges = [1]
    while edges[-1] < most:
        # 1, 2, 5, 10, 20, 50: each about twice the one before.
        edges.append(edges[-1] * 5 // 2 if str(edges[-1])[0] == "2" else edges[-1] * 2)
    edges[-1] = min(edges[-1], most)
    counts, _ = np.histogram(ranks.ranks, bins=[0, *np.nextafter(edges, np.inf)])
    return [
        _Bin(
            label=f"{high:,}" if low + 1 == high else f"{low + 1:,} to {high:,}",
            num_queries=int(count),
            width_percent=100 * float(count / counts.max()),
        )
        for low, high, count in zip([0, *edges], edges, counts, strict=False)
    ]


def choose_examples(ranks: QueryRanks) -> tuple[list[int], list[int]]:
    """Choose the best and the worst queries, of each right item one, and none in both."""
    order = np.lexsort((-ranks.right_score, ranks.ranks))
    best, worst = _one_an_item(order, ranks), _one_an_item(order[::-1], ranks)
    num_best = min(_EXAMPLES, (len(order) + 1) // 2)
    best = best[:num_best]
    worst = worst[~np.isin(worst, best)][: min(_EXAMPLES, len(order) - num_best)]
    return best.tolist(), worst.tolist()


def _one_an_item(order: Int[np.ndarray, " query"], ranks: QueryRanks) -> Int[np.ndarray, " chosen"]:
    _, places = np.unique(ranks.right[order], return_index=True)
    return order[np.sort(places)]


def _query(place: int, ranks: QueryRanks, names: Names) -> _Query:
    def strip(video: int) -> _Strip:
        return _strip(names.videos[video], names.frames(video))

    right, first = int(ranks.right[place]), int(ranks.first[place])
    return _Query(
        caption=names.captions[int(ranks.query[place])],
        rank=float(ranks.ranks[place]),
        num_items=int(ranks.num_items[place]),
        right=strip(right),
        first=None if first == right else strip(first),
    )
