"""The result of an evaluation in, one page to read in a browser out."""

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Int
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from mvadapter.data.records import Record
from mvadapter.errors import VideoError
from mvadapter.evaluation.metrics import RECALLS_AT
from mvadapter.evaluation.ranks import QueryRanks
from mvadapter.evaluation.results import EvaluationResult
from mvadapter.files import write_text
from mvadapter.shapes import FrameImages
from mvadapter.video.decode import read_segment

_FRAMES_PER_STRIP = 5
_STRIP_HEIGHT_PX = 100
_GAP_PX = 3
_GAP_COLOR = (128, 128, 128)
_EXAMPLES = 6
# What marks a page as ours, near its beginning.
_GENERATOR = b'<meta name="generator" content="mvadapter">'
_HEAD_BYTES = 1000


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
    correct: _Strip
    first: _Strip | None
    """The first video, where it is not the correct one."""


def write_report(
    path: Path,
    result: EvaluationResult,
    frames_of: Callable[[Record], FrameImages | None] | None = None,
) -> None:
    """Write one HTML file that contains all it shows and loads nothing else.

    Args:
        path: The file.
        result: The result to show.
        frames_of: Gives some frames of a video, or None where there are none to show; by default
            they are read from the file.

    Raises:
        OSError: The folder cannot be written to.
    """
    here = files("mvadapter.evaluation")
    style = here.joinpath("report.css").read_text(encoding="utf-8")
    # The page may apply this style and none that a caption might bring along.
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    ranks = result.ranks
    best, worst = choose_examples(ranks.text_to_video)
    examples = _Examples(result, frames_of or _read_frames)
    environment = Environment(
        loader=PackageLoader("mvadapter", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        result=result,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=style_hash,
        recalls=[f"recall_at_{k}" for k in RECALLS_AT],
        histograms=[
            {"label": label, "bins": rank_bins(getattr(ranks, name))}
            for name, label in result.labels().items()
        ],
        examples=[
            {
                "id": "best",
                "title": "Best queries",
                "note": "Text to video: best rank first, then the highest score; each video once.",
                "queries": [examples.query(place) for place in best],
            },
            {
                "id": "worst",
                "title": "Worst queries",
                "note": "Text to video: worst rank first; each video once.",
                "queries": [examples.query(place) for place in worst],
            },
        ],
    )
    # A file name that is no UTF-8 is shown with its bytes as escapes.
    write_text(path, page.encode("utf-8", "backslashreplace").decode())


def is_report(path: Path) -> bool:
    """Whether a file is a page that `write_report` wrote."""
    # A pipe would be waited for.
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return _GENERATOR in file.read(_HEAD_BYTES)
    except OSError:
        return False


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
    """Choose the best and the worst queries, one per correct item, and none in both."""
    order = np.lexsort((-ranks.correct_score, ranks.ranks))
    best, worst = _one_an_item(order, ranks), _one_an_item(order[::-1], ranks)
    num_best = min(_EXAMPLES, (len(order) + 1) // 2)
    best = best[:num_best]
    worst = worst[~np.isin(worst, best)][: min(_EXAMPLES, len(order) - num_best)]
    return best.tolist(), worst.tolist()


def _one_an_item(order: Int[np.ndarray, " query"], ranks: QueryRanks) -> Int[np.ndarray, " chosen"]:
    _, places = np.unique(ranks.correct[order], return_index=True)
    return order[np.sort(places)]


class _Examples:
    """Makes queries with pictures out of the places of a result."""

    def __init__(
        self, result: EvaluationResult, frames_of: Callable[[Record], FrameImages | None]
    ) -> None:
        self._result = result
        self._frames_of = frames_of

    def query(self, place: int) -> _Query:
        """One query of text to video, its correct video and the first one."""
        ranks = self._result.ranks.text_to_video
        correct, first = int(ranks.correct[place]), int(ranks.first[place])
        return _Query(
            caption=self._result.captions[int(ranks.query[place])],
            rank=float(ranks.ranks[place]),
            num_items=int(ranks.num_items[place]),
            correct=self._strip(correct),
            first=None if first == correct else self._strip(first),
        )

    def _strip(self, video: int) -> _Strip:
        records = self._result.records
        return _strip(
            self._result.videos[video], self._frames_of(records[video]) if records else None
        )


def _read_frames(record: Record) -> FrameImages | None:
    try:
        return read_segment(
            record.video, _FRAMES_PER_STRIP, record.start_seconds, record.end_seconds
        ).images
    except VideoError:
        # It was embedded all the same, from stored frames; the page can do without.
        return None
