"""One frozen CLIP, many small adapters: adapt it to video, measure it, search video with it.

The public names are imported on first use, so that ``import mvadapter`` loads nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mvadapter.adapters.methods import METHODS

if TYPE_CHECKING:
    from mvadapter.adapters.build import build_adapter
    from mvadapter.backbone.clip import Backbone
    from mvadapter.comparison.compare import compare
    from mvadapter.comparison.plan import read_plan
    from mvadapter.comparison.stages import ComparisonOptions
    from mvadapter.embedding.files import embed_files
    from mvadapter.embedding.inputs import Inputs
    from mvadapter.encoder.authors import load_authors_checkpoint
    from mvadapter.encoder.checkpoint import load_adapter, save_adapter
    from mvadapter.encoder.encode import Encoder
    from mvadapter.encoder.merge import export_merged
    from mvadapter.errors import MvAdapterError
    from mvadapter.evaluation.evaluate import evaluate
    from mvadapter.evaluation.evaluate_scores import evaluate_scores
    from mvadapter.evaluation.metrics import retrieval_metrics
    from mvadapter.index.moments import Moment
    from mvadapter.index.reader import IndexView
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.isolation import Isolation
    from mvadapter.scoring.rerank import dual_softmax, query_bank_norm
    from mvadapter.training.loop import RunOptions
    from mvadapter.training.train import train
    from mvadapter.video.decode import read_segment
    from mvadapter.video.preprocess import to_pixels

_HOME = {
    "Backbone": "mvadapter.backbone.clip",
    "ComparisonOptions": "mvadapter.comparison.stages",
    "Encoder": "mvadapter.encoder.encode",
    "IndexView": "mvadapter.index.reader",
    "Inputs": "mvadapter.embedding.inputs",
    "Isolation": "mvadapter.isolation",
    "Moment": "mvadapter.index.moments",
    "MvAdapterError": "mvadapter.errors",
    "RunOptions": "mvadapter.training.loop",
    "VideoIndex": "mvadapter.index.video_index",
    "build_adapter": "mvadapter.adapters.build",
    "compare": "mvadapter.comparison.compare",
    "dual_softmax": "mvadapter.scoring.rerank",
    "embed_files": "mvadapter.embedding.files",
    "evaluate": "mvadapter.evaluation.evaluate",
    "evaluate_scores": "mvadapter.evaluation.evaluate_scores",
    "export_merged": "mvadapter.encoder.merge",
    "load_adapter": "mvadapter.encoder.checkpoint",
    "load_authors_checkpoint": "mvadapter.encoder.authors",
    "query_bank_norm": "mvadapter.scoring.rerank",
    "read_plan": "mvadapter.comparison.plan",
    "read_segment": "mvadapter.video.decode",
    "retrieval_metrics": "mvadapter.evaluation.metrics",
    "save_adapter": "mvadapter.encoder.checkpoint",
    "to_pixels": "mvadapter.video.preprocess",
    "train": "mvadapter.training.train",
}

__all__ = [
    "Backbone",
    "ComparisonOptions",
    "Encoder",
    "IndexView",
    "Inputs",
    "Isolation",
    "Moment",
    "MvAdapterError",
    "RunOptions",
    "VideoIndex",
    "build_adapter",
    "compare",
    "dual_softmax",
    "embed_files",
    "evaluate",
    "evaluate_scores",
    "export_merged",
    "load_adapter",
    "load_authors_checkpoint",
    "query_bank_norm",
    "read_plan",
    "read_segment",
    "retrieval_metrics",
    "save_adapter",
    "to_pixels",
    "train",
]

# The configurations of the methods are public too, and listed in one place.
_CONFIG_HOME = {path.partition(":")[2]: path.partition(":")[0] for path in METHODS.values()}
_HOME |= _CONFIG_HOME
__all__ += list(_CONFIG_HOME)
__all__.sort()


def __dir__() -> list[str]:
    """The public names, those too that are not imported yet."""
    return sorted(_HOME)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - each name has a type of its own
    """Import a public name from its room when it is first used.

    Raises:
        AttributeError: There is no such public name.
    """
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mvadapter' has no attribute {name!r}")
