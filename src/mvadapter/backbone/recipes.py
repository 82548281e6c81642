"""How a CLIP expects its pixels and its captions."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from mvadapter.errors import ConfigError
from mvadapter.settings import check_range

Fit: TypeAlias = Literal["crop", "squash"]
Interpolation: TypeAlias = Literal["bicubic", "bilinear"]
Channels: TypeAlias = tuple[float, float, float]
"""One number each for red, green and blue."""

MAX_PX = 8192
"""The largest side that a frame is scaled to."""
# Radford et al. 2021; the values of OpenAI's code, clip/clip.py, _transform.
OPENAI_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Channels = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """How a frame becomes a square of stored pixels, 0 to 255."""

    size_px: int
    """Side of the square."""
    short_side_px: int
    """What the frame's short side is scaled to before the middle is cut out; for ``"squash"`` the
    same as ``size_px``."""
    fit: Fit = "crop"
    """``"crop"`` keeps the proportions and cuts the middle out; ``"squash"`` keeps the complete
    frame and changes its proportions."""
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        check_range("size_px", self.size_px, 1, MAX_PX)
        if self.short_side_px < self.size_px:
            raise ConfigError(
                f"short_side_px must be at least size_px ({self.size_px}), got {self.short_side_px}"
            )
        check_range("short_side_px", self.short_side_px, 1, MAX_PX)

    @classmethod
    def crop(cls, size_px: int) -> "Resize":
        """CLIP's own way: scale the short side to ``size_px`` and cut the middle square."""
        return cls(size_px=size_px, short_side_px=size_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelRecipe:
    """How a frame becomes what the vision tower takes: (resized / 255 - mean) / std."""

    resize: Resize
    mean: Channels
    std: Channels

    @classmethod
    def openai(cls, size_px: int) -> "PixelRecipe":
        """The recipe of OpenAI's CLIPs, for frames of ``size_px``."""
        return cls(resize=Resize.crop(size_px), mean=OPENAI_MEAN, std=OPENAI_STD)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """How a caption becomes token ids."""

    max_tokens: int
    """The most tokens of a caption, start and end included."""
    padding: str
    """The token that fills up shorter captions."""
    is_lowercased: bool
    tokenizer_sha256: str | None
    """Hash of vocabulary, merges and rules; None where the folder has no tokenizer."""
