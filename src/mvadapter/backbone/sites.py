"""Where an adapter may stand in a block of CLIP, and what it is given there."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from jaxtyping import Float
from torch import Tensor, nn

from mvadapter.shapes import FrameMask, Tokens

AttentionProjection: TypeAlias = Literal["q", "k", "v", "o"]
"""One of the four linear maps of an attention layer; ``o`` is the output projection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLayout:
    """How the vision tower's rows form videos: row ``v * num_frames + f`` is frame f of video v."""

    num_videos: int
    num_frames: int
    mask: FrameMask
    num_class_tokens: int = 1
    """How many tokens stand before the patches of each frame."""

    def split(
        self, tokens: Float[Tensor, "*row token width"]
    ) -> tuple[Float[Tensor, "*row class_token width"], Float[Tensor, "*row patch width"]]:
        """Part the tokens of frames into class tokens and patches, in that order."""
        return tokens[..., : self.num_class_tokens, :], tokens[..., self.num_class_tokens :, :]


Layout = TypeVar("Layout", bound=FrameLayout | Tensor)
"""What a site is given: a `FrameLayout` in the vision tower, the `TokenMask` in the text tower."""


class BlockAdapter(nn.Module, Generic[Layout]):
    """What an adapter does at the named sites of one block; each site defaults to nothing.

    The block runs as::

        tokens -> before_attention -> norm1
               -> [projections q k v o] + after_attention(attended) + beside_attention(normed)
               -> + tokens
               -> before_mlp -> norm2
               -> mlp + after_mlp(mlp) + beside_mlp(tokens, normed)
               -> + tokens -> after_block

    The two ``before_`` sites and ``after_block`` replace the residual stream, and what the first
    inserts into a sequence the last must take out again; the others return what is to be added, or
    None for nothing. A site works in its own precision and need not return the precision of its
    input: the tower casts.
    """

    def before_attention(self, tokens: Tokens, layout: Layout) -> Tokens:  # noqa: ARG002
        """Replace the residual stream before the attention half of the block."""
        return tokens

    def on_projection(self, projection: AttentionProjection, tokens: Tokens) -> Tokens | None:  # noqa: ARG002
        """Add to the output of one of the attention's linear maps, given its input."""
        return None

    def after_attention(self, output: Tokens, layout: Layout) -> Tokens | None:  # noqa: ARG002
        """Add to the attention's output, given that output (without the residual)."""
        return None

    def beside_attention(self, normed: Tokens, layout: Layout) -> Tokens | None:  # noqa: ARG002
        """Add to the attention's output, given its normalised input."""
        return None

    def before_mlp(self, tokens: Tokens, layout: Layout) -> Tokens:  # noqa: ARG002
        """Replace the residual stream before the MLP half of the block."""
        return tokens

    def after_mlp(self, output: Tokens, layout: Layout) -> Tokens | None:  # noqa: ARG002
        """Add to the MLP's output, given that output (without the residual)."""
        return None

    def beside_mlp(self, tokens: Tokens, normed: Tokens, layout: Layout) -> Tokens | None:  # noqa: ARG002
        """Add to the MLP's output, given its input before and after the norm."""
        return None

    def after_block(self, tokens: Tokens, layout: Layout) -> Tokens:  # noqa: ARG002
        """Replace the residual stream at the end of the block."""
        return tokens
