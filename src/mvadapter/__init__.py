"""One frozen CLIP, many small adapters: adapt it to video, measure it, search video with it.

The public names are imported on first use, so that ``import mvadapter`` loads nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvadapter.adapters.build import build_adapter
    from mvadapter.adapters.methods.adaptformer import AdaptFormerConfig
    from mvadapter.adapters.methods.bitfit import BitFitConfig
    from mvadapter.adapters.methods.convpass import ConvpassConfig
    from mvadapter.adapters.methods.cross_modal import CrossModalAdapterConfig
    from mvadapter.adapters.methods.frozen import FrozenConfig
    from mvadapter.adapters.methods.full import FullConfig
    from mvadapter.adapters.methods.lora import LoraConfig
    from mvadapter.adapters.methods.mv_adapter import MvAdapterConfig
    from mvadapter.adapters.methods.projection import ProjectionConfig
    from mvadapter.adapters.methods.prompts import PromptsConfig
    from mvadapter.adapters.methods.sequence_transformer import SequenceTransformerConfig
    from mvadapter.adapters.methods.st_adapter import StAdapterConfig
    from mvadapter.backbone.clip import Backbone
    from mvadapter.embedding.inputs import Inputs
    from mvadapter.encoder.authors import load_authors_checkpoint
    from mvadapter.encoder.checkpoint import load_adapter, save_adapter
    from mvadapter.encoder.encode import Encoder
    from mvadapter.encoder.merge import export_merged
    from mvadapter.errors import MvAdapterError
    from mvadapter.evaluation.metrics import retrieval_metrics
    from mvadapter.index.video_index import VideoIndex
    from mvadapter.scoring.rerank import dual_softmax, query_bank_norm
    from mvadapter.video.decode import read_segment
    from mvadapter.video.preprocess import to_pixels

_HOME = {
    "AdaptFormerConfig": "mvadapter.adapters.methods.adaptformer",
    "Backbone": "mvadapter.backbone.clip",
    "BitFitConfig": "mvadapter.adapters.methods.bitfit",
    "ConvpassConfig": "mvadapter.adapters.methods.convpass",
    "CrossModalAdapterConfig": "mvadapter.adapters.methods.cross_modal",
    "Encoder": "mvadapter.encoder.encode",
    "FrozenConfig": "mvadapter.adapters.methods.frozen",
    "FullConfig": "mvadapter.adapters.methods.full",
    "Inputs": "mvadapter.encoder.encode",
    "LoraConfig": "mvadapter.adapters.methods.lora",
    "MvAdapterConfig": "mvadapter.adapters.methods.mv_adapter",
    "MvAdapterError": "mvadapter.errors",
    "ProjectionConfig": "mvadapter.adapters.methods.projection",
    "PromptsConfig": "mvadapter.adapters.methods.prompts",
    "SequenceTransformerConfig": "mvadapter.adapters.methods.sequence_transformer",
    "StAdapterConfig": "mvadapter.adapters.methods.st_adapter",
    "VideoIndex": "mvadapter.index.video_index",
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
