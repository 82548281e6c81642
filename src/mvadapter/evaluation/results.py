"""Ranks in, the numbers that people and programs read out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from mvadapter.data.records import Record
from mvadapter.embedding.captions import CaptionReport
from mvadapter.embedding.inputs import Inputs
from mvadapter.evaluation.bootstrap import Difference, Interval, bootstrap_interval
from mvadapter.evaluation.metrics import RECALLS_AT, RetrievalMetrics
from mvadapter.evaluation.ranks import QueryRanks, RetrievalRanks

CONFIDENCE_PERCENT = 95.0

Protocol: TypeAlias = Literal["one-caption", "many-captions", "paragraph"]
"""How captions and videos belong together: one caption for each video, several of which each is a
query of its own, or all sentences of a video joined into one."""

_LABELS = {
    "text_to_video": "text to video, every caption",
    "video_to_text": "video to text, best caption of each video",
    "video_to_text_all_captions": "video to text, all captions",
}
# With one caption for each video the two protocols of video to text are one.
_LABELS_OF_ONE = {"text_to_video": "text to video", "video_to_text": "video to text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionResult:
    """The numbers of one direction of retrieval."""

    metrics: RetrievalMetrics
    intervals: Mapping[str, Interval]
    """Name of a recall -> its bootstrap interval over queries."""

    @classmethod
    def from_ranks(cls, ranks: QueryRanks) -> "DirectionResult":
        """Sum up the ranks of all queries; the captions of one video are resampled together."""
        intervals = {
            f"recall_at_{k}": bootstrap_interval(
                100 * ranks.hits(k), group=ranks.video, confidence_percent=CONFIDENCE_PERCENT
            )
            for k in RECALLS_AT
        }
        return cls(metrics=RetrievalMetrics.from_ranks(ranks), intervals=intervals)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **asdict(self.metrics),
            "recall_sum": self.metrics.recall_sum,
            "intervals": {
                name: {"low": interval.low, "high": interval.high}
                for name, interval in self.intervals.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalResult:
    """The numbers of both directions; `RetrievalReport` describes each."""

    text_to_video: DirectionResult
    video_to_text: DirectionResult
    video_to_text_all_captions: DirectionResult

    @classmethod
    def from_ranks(cls, ranks: RetrievalRanks) -> "RetrievalResult":
        """Sum up the ranks of each direction."""
        return cls(
            text_to_video=DirectionResult.from_ranks(ranks.text_to_video),
            video_to_text=DirectionResult.from_ranks(ranks.video_to_text),
            video_to_text_all_captions=DirectionResult.from_ranks(ranks.video_to_text_all_captions),
        )

    def direction(self, name: str) -> DirectionResult:
        """The numbers of a direction by its name."""
        found: DirectionResult = getattr(self, name)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {name: self.direction(name).to_dict() for name in _LABELS}


@dataclass(frozen=True, slots=True, kw_only=True)
class DualSoftmaxResult:
    """Numbers after a dual softmax, which looks at all queries: transductive."""

    temperature: float
    """The factor that was applied to the scores."""
    retrieval: RetrievalResult

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "temperature": self.temperature,
            "is_transductive": True,
            **self.retrieval.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryBankResult:
    """Numbers after QB-Norm, which looks at a bank of training captions: inductive."""

    num_bank_captions: int
    text_to_video: DirectionResult

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "num_bank_captions": self.num_bank_captions,
            "is_transductive": False,
            "text_to_video": self.text_to_video.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstResult:
    """A paired test against another system on the same queries."""

    ranks: str
    """The file with the other's ranks."""
    differences: Mapping[str, Mapping[str, Difference]]
    """Direction -> name of a recall -> our recall minus the other's, in points."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "ranks": self.ranks,
            "differences": {
                direction: {name: asdict(one) for name, one in recalls.items()}
                for direction, recalls in self.differences.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedData:
    """Which videos and captions were evaluated, and what is missing from them."""

    dataset: str | None = None
    """The published dataset that the table was prepared from."""
    split: str | None = None
    fingerprint: str | None = None
    missing_policy: str | None = None
    """What was done about videos without a file when the table was prepared."""
    unreadable_policy: str | None = None
    """What was done about videos without frames."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Videos that give no frames -> why."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """These, and videos that had no file when the table was prepared -> number of captions."""

    @property
    def missing(self) -> list[str]:
        """Videos that had no file when the table was prepared."""
        return [video for video in self.dropped if video not in self.skipped]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationResult:
    """Everything that an evaluation found."""

    encoder: str
    """Method and CLIP, or the file of scores."""
    protocol: Protocol
    num_videos: int
    num_captions: int
    retrieval: RetrievalResult
    """Plain retrieval: no query knows of another."""
    data: EvaluatedData
    inputs: Inputs | None = None
    """Frames and tokens; None for scores from elsewhere."""
    selection: str | None = None
    """What chose the epoch of the adapter."""
    is_selected_on_test: bool = False
    """Whether the test split chose it, so that numbers on that split are too good."""
    num_trained_on: int | None = None
    """Evaluated videos that the adapter was trained on; None where that is not known."""
    cut: CaptionReport | None = None
    """How many captions are cut; None for scores from elsewhere."""
    dual_softmax: DualSoftmaxResult | None = None
    query_bank_norm: QueryBankResult | None = None
    against: AgainstResult | None = None
    confidence_percent: float = CONFIDENCE_PERCENT
    """Of all intervals."""
    ranks: RetrievalRanks = field(repr=False)
    """The plain rank of every query; not part of `to_dict`, and neither is what follows."""
    captions: Sequence[str] = field(repr=False)
    """What each caption is called: its text."""
    videos: Sequence[str] = field(repr=False)
    """What each video is called: its id."""
    records: Sequence[Record] = field(repr=False, default=())
    """Whose videos these are; none for scores from elsewhere."""

    def labels(self) -> dict[str, str]:
        """What people call the directions that this protocol has."""
        return _LABELS if self.protocol == "many-captions" else _LABELS_OF_ONE

    def labelled(self) -> list[tuple[str, DirectionResult]]:
        """All numbers with their names for people: plain ones first, re-ranked ones last."""
        labels = self.labels()
        rows = [(label, self.retrieval.direction(name)) for name, label in labels.items()]
        if self.dual_softmax is not None:
            rows += [
                (
                    f"{label}, dual softmax (transductive)",
                    self.dual_softmax.retrieval.direction(name),
                )
                for name, label in labels.items()
            ]
        if self.query_bank_norm is not None:
            note = f"QB-Norm (bank of {self.query_bank_norm.num_bank_captions} captions)"
            rows.append((f"{labels['text_to_video']}, {note}", self.query_bank_norm.text_to_video))
        return rows

    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        notes = []
        if self.is_selected_on_test:
            notes.append(f"the adapter was chosen on {self.selection}")
        if self.num_trained_on:
            notes.append(
                f"the adapter was trained on {self.num_trained_on} of these {self.num_videos} "
                f"videos; its numbers on them do not hold for new videos"
            )
        if self.cut is not None and (note := self.cut.cut_note()):
            notes.append(note)
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them; what was not asked for is absent."""
        data = self.data
        optional = {
            "dual_softmax": self.dual_softmax,
            "query_bank_norm": self.query_bank_norm,
            "against": self.against,
        }
        return {
            "encoder": self.encoder,
            "dataset": data.dataset,
            "split": data.split,
            "data_fingerprint": data.fingerprint,
            "inputs": None if self.inputs is None else asdict(self.inputs),
            "selection": self.selection,
            "is_selected_on_test": self.is_selected_on_test,
            "trained_on": self.num_trained_on,
            "policy": {"missing": data.missing_policy, "unreadable": data.unreadable_policy},
            "protocol": self.protocol,
            "num_videos": self.num_videos,
            "num_captions": self.num_captions,
            "cut_captions": None if self.cut is None else self.cut.num_cut,
            "confidence_percent": self.confidence_percent,
            **self.retrieval.to_dict(),
            **{name: one.to_dict() for name, one in optional.items() if one is not None},
            "skipped": dict(data.skipped),
            "missing": data.missing,
            "dropped_videos": len(data.dropped),
            "dropped_queries": sum(data.dropped.values()),
        }
