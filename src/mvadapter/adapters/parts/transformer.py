"""The pre-norm transformer block of CLIP's kind, for bottlenecks and for sequences of frames."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mvadapter.backbone.towers import quick_gelu


class TransformerBlock(nn.Module):
    """Attention and an MLP four times as wide, each behind a norm and added to its input.

    Args:
        width: The tokens' width.
        num_heads: Attention heads.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self._num_heads = num_heads
        self.norm1 = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(
        self,
        sequence: Float[Tensor, "row token width"],
        mask: Bool[Tensor, "row 1 1 token"] | None,
    ) -> Float[Tensor, "row token width"]:
        """Attend to the tokens that ``mask`` marks as real or, without one, causally."""
        queries, keys, values = (
            part.unflatten(-1, (self._num_heads, -1)).transpose(1, 2)
            for part in self.query_key_value(self.norm1(sequence)).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=mask is None
        )
        sequence = sequence + self.attention_out(attended.transpose(1, 2).flatten(2))
        return sequence + self.mlp_out(quick_gelu(self.mlp_in(self.norm2(sequence))))
