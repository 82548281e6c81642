"""A name in, a method with settings out: every row of the paper's comparisons and ablations.

Jin, Zhang et al. 2024, tables 1 to 9, but for Hunyuan. Where the paper leaves a size open, it is
one that reproduces the share of trained weights that its tables print; of Convpass several do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A method under a name of its own."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the method's defaults."""
    what: str
    """A short description."""


# MV-Adapter's comparison gives the others a norm on their inputs, CLIP's biases, and in the text
# tower the sequential bottleneck; its width, and AdaptFormer's own, are twice MV-Adapter's.
_IN_COMPARISON: Mapping[str, Any] = MappingProxyType(
    {"bottleneck_width": 128, "has_input_norm": True, "has_trained_biases": True}
)
_TEXT_IN_COMPARISON: Mapping[str, Any] = MappingProxyType(
    {"text_bottleneck_width": 128, "has_input_norm": True, "has_trained_biases": True}
)


def _ours(what: str, **settings: Any) -> Variant:  # noqa: ANN401 - settings of every kind
    return Variant(method="mv-adapter", settings=MappingProxyType(settings), what=what)


def _last(num_layers: int) -> list[int]:
    return list(range(-num_layers, 0))


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "adaptformer-sequential": Variant(
            method="adaptformer",
            settings={"placement": "sequential"},
            what="bottlenecks after the MLPs instead of beside them",
        ),
        "adaptformer-paper": Variant(
            method="adaptformer",
            settings=_IN_COMPARISON,
            what="tables 1 to 5, Adapt_par (2.78 % of ViT-B/16)",
        ),
        "adaptformer-sequential-paper": Variant(
            method="adaptformer",
            settings={"placement": "sequential", **_IN_COMPARISON},
            what="tables 1 to 5, Adapt_seq (2.78 % of ViT-B/16)",
        ),
        "convpass-paper": Variant(
            method="convpass",
            settings={
                "bottleneck_width": 64,
                "is_depthwise": True,
                "text": "adaptformer",
                **_TEXT_IN_COMPARISON,
            },
            what="tables 1 to 5, Convpass (2.80 % of ViT-B/16; others fit too)",
        ),
        "st-adapter-paper": Variant(
            method="st-adapter",
            settings=_TEXT_IN_COMPARISON,
            what="tables 1 to 5, ST-Adapter (5.93 % of ViT-B/16)",
        ),
        "cross-modal-adapter-paper": Variant(
            method="cross-modal-adapter",
            settings={"sites": "mlp", "has_shared_biases": False, **_IN_COMPARISON},
            what="tables 1 to 3, CM-Adapter (2.76 % of ViT-B/16)",
        ),
        "mv-adapter-paper": _ours(
            "tables 1 and 2, MV-Adapter (2.39 % of ViT-B/16), with our start",
            has_trained_biases=True,
        ),
        "mv-adapter-down-up": _ours("table 6a, Down&Up", depth="bottleneck", tying="none"),
        "mv-adapter-transformer": _ours("table 6a, with TRM", depth="transformer", tying="none"),
        "mv-adapter-calibration": _ours(
            "table 6a, with calibration", depth="calibration", tying="none"
        ),
        "mv-adapter-text-only": _ours("table 6b, text branch", video_layers=[], tying="none"),
        "mv-adapter-video-only": _ours("table 6b, video branch", text_layers=[], tying="none"),
        "mv-adapter-untied": _ours("table 6b, both branches without tying", tying="none"),
        "mv-adapter-tied": _ours("table 6b, both branches with tying", tying="factor"),
        "mv-adapter-large": _ours("table 6c, for ViT-L/14: d' = 128", bottleneck_width=128),
        **{
            f"mv-adapter-{position}": _ours(
                f"table 7, tying at {position}", tying="factor", tying_position=position
            )
            for position in ("down-in", "down-out", "up-in", "up-out")
        },
        **{
            f"mv-adapter-tied-{count}": _ours(
                f"table 8, tying in the last {count}", tying="factor", tied_layers=_last(count)
            )
            for count in (1, 2, 3, 6, 12)
        },
        **{
            f"mv-adapter-factor-{dim}": _ours(
                f"table 9, factor of {dim}", tying="factor", factor_dim=dim
            )
            for dim in (8, 16, 32, 64)
        },
        "mv-adapter-unshared": _ours(
            "beyond the paper: each branch with a factor of its own",
            tying="factor",
            has_shared_factor=False,
        ),
        "mv-adapter-authors-init": _ours(
            "beyond the paper: gates and positions start as in the authors' code",
            tying="factor",
            tying_init="authors",
            position_init="authors",
        ),
        "mv-adapter-authors-gates": _ours(
            "beyond the paper: gates start as in the authors' code",
            tying="factor",
            tying_init="authors",
        ),
        "mv-adapter-authors-positions": _ours(
            "beyond the paper: positions start as in the authors' code", position_init="authors"
        ),
        "mv-adapter-kronecker": _ours(
            "beyond the paper: our reading of its first version", tying="kronecker"
        ),
        "mv-adapter-biases": _ours(
            "beyond the paper: CLIP's biases train too", has_trained_biases=True
        ),
        "mv-adapter-no-context": _ours(
            "beyond the paper: without the token [CC]", has_context_token=False
        ),
    }
)
"""The variants by name; `adapter_config` takes these names as it takes those of methods."""
