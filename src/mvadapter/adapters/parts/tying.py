"""Cross-modality tying: weights of the video and the text branch from shared factors.

Paper section 3.4, equation 4, Table 7 (`FactorGate`); the first version of the paper, of which only
the abstract is public, spoke of weights generated "through a shared parameter space"
(`KroneckerLinear` is our reading of it).
"""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mvadapter.errors import ConfigError

TyingInit: TypeAlias = Literal["authors", "identity"]
GatedSide: TypeAlias = Literal["in", "out"]


class FactorGate(nn.Module):
    """One branch's gate beta = M f over the channels of a linear map (eq. 4).

    Args:
        factor: f, one vector per tied layer; the same parameter stands in both branches' gates.
        num_channels: How many channels the gate scales.
        init: ``"identity"`` starts the gate at exactly 1, so that a tied layer starts as an untied
            one. ``"authors"`` starts as their code does: f is zero and M is a linear map with its
            usual random bias, so that the gate starts as that bias, near 0 and of random sign.
    """

    def __init__(self, factor: nn.Parameter, num_channels: int, init: TyingInit) -> None:
        super().__init__()
        self.factor = factor
        self.projection = nn.Linear(len(factor), num_channels)
        match init:
            case "identity":
                # DEPARTS: the authors' gate starts near 0, which shrinks a tied projection tenfold.
                nn.init.ones_(self.projection.bias)
            case "authors":
                pass
            case _:
                assert_never(init)

    def forward(self) -> Float[Tensor, " channel"]:
        """The gate's value for each channel."""
        return self.projection(self.factor)


class GatedLinear(nn.Linear):
    """A linear map whose weight a gate scales by input or output channel; the bias stays.

    Args:
        in_features: Channels in.
        out_features: Channels out.
        side: Which channels the gate scales.
        gate: Makes the gate for that many channels.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        side: GatedSide,
        gate: Callable[[int], FactorGate],
    ) -> None:
        super().__init__(in_features, out_features)
        self._side = side
        self.gate = gate(in_features if side == "in" else out_features)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.Linear gives it
        """Apply the map with its gated weight."""
        beta = self.gate()
        scale = beta if self._side == "in" else beta[:, None]
        return F.linear(input, self.weight * scale, self.bias)


class KroneckerLinear(nn.Module):
    """A linear map whose weight is W = sum_i A_i (x) B_i, with the A_i shared by both branches.

    Of version 1 of the paper only its abstract is public: weights of both branches come from a
    shared parameter space. This is our reading: the parameterised hypercomplex form of
    Zhang et al. 2021 ("Beyond Fully-Connected Layers with Quaternions"), used for adapters in
    Compacter (Mahabadi et al. 2021). B is drawn like an untied weight and A with variance 1/terms,
    so that W has the variance of the untied init.

    Args:
        shared: The A_i, [term term term]: as many square matrices as their side is long.
        in_features: Channels in, a multiple of the number of terms.
        out_features: Channels out, likewise.
        draw: Fills a tensor as the untied weight's init would.

    Raises:
        ConfigError: A number of channels is no multiple of the number of terms.
    """

    def __init__(
        self,
        shared: nn.Parameter,
        in_features: int,
        out_features: int,
        draw: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        terms = len(shared)
        if in_features % terms or out_features % terms:
            raise ConfigError(
                f"kronecker_terms ({terms}) must divide the widths that it ties, "
                f"{in_features} and {out_features}"
            )
        self.shared = shared
        # A part of a matrix drawn as the untied weight has that weight's variance.
        untied = draw(torch.empty(out_features, in_features))
        own = untied.unflatten(0, (terms, -1))[:, :, : in_features // terms]
        self.own = nn.Parameter(own.clone(memory_format=torch.contiguous_format))
        self.bias = nn.Parameter(torch.zeros(out_features))

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The generated weight W."""
        products = torch.einsum("tab,tcd->acbd", self.shared, self.own)
        return products.flatten(2).flatten(0, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Apply the map with its generated weight."""
        return F.linear(tokens, self.weight, self.bias)


def draw_factor(dim: int) -> nn.Parameter:
    """The shared factor f of one tied layer: zero, as the authors start it."""
    return nn.Parameter(torch.zeros(dim))


def draw_shared_matrices(terms: int) -> nn.Parameter:
    """The shared matrices A_i of one tied layer."""
    return nn.Parameter(torch.randn(terms, terms, terms) / math.sqrt(terms))
