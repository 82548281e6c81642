"""One frozen CLIP, many small adapters: adapt it to video, measure it, search video with it.

The public names are imported on first use, so that ``import mvadapter`` loads nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvadapter.adapters.adaptformer import AdaptFormerConfig
    from mvadapter.adapters.bitfit import BitFitConfig
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.convpass import ConvpassConfig
    from mvadapter.adapters.cross_modal import CrossModalAdapterConfig
    from mvadapter.adapters.frozen import FrozenConfig
    from mvadapter.adapters.full import FullConfig
    from mvadapter.adapters.lora import LoraConfig
    from mvadapter.adapters.mv_adapter import MvAdapterConfig
    from mvadapter.adapters.projection import ProjectionConfig
    from mvadapter.adapters.prompts import PromptsConfig
    from mvadapter.adapters.sequence_transformer import SequenceTransformerConfig
    from mvadapter.adapters.st_adapter import StAdapterConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.encoder.authors import load_authors_checkpoint
    from mvadapter.encoder.checkpoint import load_adapter, save_adapter
    from mvadapter.encoder.encode import Encoder, Inputs
    from mvadapter.encoder.merge import export_merged
    from mvadapter.errors import MvAdapterError
    from mvadapter.evaluation.metrics import retrieval_metrics
    from mvadapter.index.store import VideoIndex
    from mvadapter.scoring.rerank import dual_softmax, query_bank_norm
    from mvadapter.video.decode import read_segment
    from mvadapter.video.preprocess import to_pixels

_HOME = {
    "AdaptFormerConfig": "mvadapter.adapters.adaptformer",
    "Backbone": "mvadapter.backbone.clip",
    "BitFitConfig": "mvadapter.adapters.bitfit",
    "ConvpassConfig": "mvadapter.adapters.convpass",
    "CrossModalAdapterConfig": "mvadapter.adapters.cross_modal",
    "Encoder": "mvadapter.encoder.encode",
    "FrozenConfig": "mvadapter.adapters.frozen",
    "FullConfig": "mvadapter.adapters.full",
    "Inputs": "mvadapter.encoder.encode",
    "LoraConfig": "mvadapter.adapters.lora",
    "MvAdapterConfig": "mvadapter.adapters.mv_adapter",
    "MvAdapterError": "mvadapter.errors",
    "ProjectionConfig": "mvadapter.adapters.projection",
    "PromptsConfig": "mvadapter.adapters.prompts",
    "SequenceTransformerConfig": "mvadapter.adapters.sequence_transformer",
    "StAdapterConfig": "mvadapter.adapters.st_adapter",
    "VideoIndex": "mvadapter.index.store",
    "build_adapter": "mvadapter.adapters.build",
    "dual_softmax": "mvadapter.scoring.rerank",
    "export_merged": "mvadapter.encoder.merge",
    "load_adapter": "mvadapter.encoder.checkpoint",
    "load_authors_checkpoint": "mvadapter.encoder.authors",
    "query_bank_norm": "mvadapter.scoring.rerank",
    "read_segment": "mvadapter.video.decode",
    "retrieval_metrics": "mvadapter.evaluation.metrics",
    "save_adapter": "mvadapter.encoder.checkpoint",
    "to_pixels": "mvadapter.video.preprocess",
}

__all__ = [
    "AdaptFormerConfig",
    "Backbone",
    "BitFitConfig",
    "ConvpassConfig",
    "CrossModalAdapterConfig",
    "Encoder",
    "FrozenConfig",
    "FullConfig",
    "Inputs",
    "LoraConfig",
    "MvAdapterConfig",
    "MvAdapterError",
    "ProjectionConfig",
    "PromptsConfig",
    "SequenceTransformerConfig",
    "StAdapterConfig",
    "VideoIndex",
    "build_adapter",
    "dual_softmax",
    "export_merged",
    "load_adapter",
    "load_authors_checkpoint",
    "query_bank_norm",
    "read_segment",
    "retrieval_metrics",
    "save_adapter",
    "to_pixels",
]


def __getattr__(name: str) -> object:
    """Import a public name from its room when it is first used.

    Raises:
        AttributeError: There is no such public name.
    """
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mvadapter' has no attribute {name!r}")
