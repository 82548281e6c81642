"""The files beside a CLIP's weights in, its recipes for pixels and captions out."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from mvadapter.backbone.recipes import (
    MAX_PX,
    Channels,
    Fit,
    Interpolation,
    PixelRecipe,
    Resize,
    TextRecipe,
)
from mvadapter.documents.text import DocumentKind, lines_of, read_text
from mvadapter.documents.values import read_json_object
from mvadapter.errors import BackboneError

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")
"""Where a CLIP folder describes its pixels; transformers 5 writes the first, nested."""
_TOKENIZER_CLASSES = ("CLIPTokenizer", "CLIPTokenizerFast")
CLIP_FILE = DocumentKind(
    error=BackboneError,
    expected="a file of a CLIP (JSON)",
    advice="copy the CLIP again",
    has_long_integers=True,
)
TOKENIZER_FILES = (
    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token")
# Where a tokenizer may name more tokens; transformers adds those that the vocabulary lacks.
_MORE_TOKENS = (
    "additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens",
    "added_tokens_decoder",
)  # fmt: skip

# Pillow's numbers, which transformers writes.
_INTERPOLATIONS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}
_PROCESSORS = (
    "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor",
)  # fmt: skip
_TYPE_KEYS = ("image_processor_type", "feature_extractor_type")
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
_SQUARE_FLAGS = ("default_to_square", "use_square_size")


def read_pixel_recipe(files: Mapping[str, Path], default: PixelRecipe) -> PixelRecipe:
    """Read how a CLIP expects its pixels.

    Args:
        files: The CLIP's own files by name, those that are there.
        default: The recipe without such a file, for the size that the vision tower takes.

    Raises:
        BackboneError: A file is no JSON, or asks for what is not supported here.
    """
    if nested := files.get("processor_config.json"):
        table = read_json_object(nested, CLIP_FILE)
        if "image_processor" in table:
            where = f"{nested}: image_processor"
            if not isinstance(table["image_processor"], dict):
                raise BackboneError(f"{where}: expected an object")
            return _PixelSettings(table["image_processor"], where, default).recipe()
    if flat := files.get("preprocessor_config.json"):
        return _PixelSettings(read_json_object(flat, CLIP_FILE), str(flat), default).recipe()
    return default


def read_text_recipe(files: Mapping[str, Path], num_positions: int) -> TextRecipe:
    """Read how a CLIP expects its captions.

    Args:
        files: The CLIP's own files by name, those that are there.
        num_positions: How many tokens the text tower has positions for.

    Raises:
        BackboneError: A file is no JSON, or a setting has a value that it cannot have.
    """
    settings: dict[str, Any] = {}
    where = files.get("tokenizer_config.json")
    if where is not None:
        settings = read_json_object(where, CLIP_FILE)
    kind = settings.get("tokenizer_class", _TOKENIZER_CLASSES[0])
    if kind not in _TOKENIZER_CLASSES:
        raise BackboneError(
            f"{where}: tokenizer_class is {kind!r}; supported are "
            f"{' and '.join(_TOKENIZER_CLASSES)}"
        )
    longest = settings.get("model_max_length")
    # transformers writes 1e30 for "no limit".
    if longest is not None and not (_is_number(longest) and longest >= 3):
        raise BackboneError(
            f"{where}: model_max_length is {longest!r}; it must be a number of at least 3"
        )
    lowers = settings.get("do_lower_case", True)
    if not isinstance(lowers, bool):
        raise BackboneError(f"{where}: do_lower_case is {lowers!r}; it must be true or false")
    definition = _tokenizer_definition(files)
    # transformers prefers the file of special tokens to the settings.
    if path := files.get("special_tokens_map.json"):
        settings |= read_json_object(path, CLIP_FILE)
    special = {name: _token(settings, name) for name in _SPECIAL_TOKENS}
    padding = _token(settings, "pad_token")
    added = _added_tokens(files, settings, {*special.values(), padding, *_listed(definition)})
    rules = [definition, special, added] if added else [definition, special]
    return TextRecipe(
        max_tokens=num_positions if longest is None else int(min(longest, num_positions)),
        padding=padding,
        is_lowercased=lowers and _has_lowercase(definition),
        tokenizer_sha256=None if definition is None else _hash(rules),
    )


class _PixelSettings:
    """The table of a CLIP's image processor; None is an absent key, as in transformers."""

    def __init__(self, table: Mapping[str, Any], where: str, default: PixelRecipe) -> None:
        self._table = {key: value for key, value in table.items() if value is not None}
        self._where = where
        self._default = default

    def recipe(self) -> PixelRecipe:
        self._check_steps()
        if not self._does("do_normalize"):
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        else:
            mean, std = (
                self._channels("image_mean", self._default.mean),
                self._channels("image_std", self._default.std),
            )
            if min(std) <= 0:
                self._refuse("image_std", "three numbers above 0 are supported")
        return PixelRecipe(resize=self._resize(), mean=mean, std=std)

    def _check_steps(self) -> None:
        for key in _TYPE_KEYS:
            if self._table.get(key, _PROCESSORS[0]) not in _PROCESSORS:
                self._refuse(key, "CLIPImageProcessor is supported")
        for key in self._table:
            if key.startswith("do_") or key in _SQUARE_FLAGS:
                self._does(key)
                if key not in _STEPS and self._table[key]:
                    self._refuse(key, "false is supported")
        for key in ("do_resize", "do_rescale"):
            if not self._does(key):
                self._refuse(key, "true is supported")
        factor = self._table.get("rescale_factor", 1 / 255)
        if not _is_number(factor) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
            self._refuse("rescale_factor", "1/255 is supported")

    def _resize(self) -> Resize:
        image_px = self._default.resize.size_px
        resample = self._table.get("resample", 3)
        if not _is_integer(resample) or resample not in _INTERPOLATIONS:
            self._refuse("resample", "2 (bilinear) and 3 (bicubic) are supported")
        crops = self._does("do_center_crop")
        if crops and self._square("crop_size", image_px) != image_px:
            self._refuse("crop_size", f"the vision tower takes {image_px} x {image_px} px")
        size = self._table.get("size", image_px)
        short_side = size["shortest_edge"] if _is_short_side(size) else size
        if _is_integer(short_side):
            fit: Fit = "crop"
            if not crops:
                self._refuse("do_center_crop", "false is supported where size has height and width")
            if short_side < image_px:
                self._refuse("size", f"at least the vision tower's {image_px} px is supported")
            if short_side > MAX_PX:
                self._refuse("size", f"at most {MAX_PX} px is supported")
        else:
            fit = "squash"
            short_side = self._square("size", image_px)
            if short_side != image_px:
                self._refuse("size", f"the vision tower takes {image_px} x {image_px} px")
        return Resize(
            size_px=image_px,
            short_side_px=short_side,
            fit=fit,
            interpolation=_INTERPOLATIONS[resample],
        )

    def _does(self, step: str) -> bool:
        is_done = self._table.get(step, True)
        if not isinstance(is_done, bool):
            self._refuse(step, "true or false is expected")
        return is_done

    def _square(self, key: str, default: int) -> int:
        size = self._table.get(key, default)
        sides = size if isinstance(size, dict) else {"height": size, "width": size}
        height, width = sides.get("height"), sides.get("width")
        if len(sides) != 2 or not _is_integer(height) or height != width:
            self._refuse(key, 'squares such as {"height": 224, "width": 224} are supported')
        return height

    def _channels(self, key: str, default: Channels) -> Channels:
        values = self._table.get(key, default)
        is_triple = isinstance(values, list | tuple) and len(values) == 3
        if not is_triple or not all(_is_number(one) for one in values):
            self._refuse(key, "three numbers are expected")
        red, green, blue = (float(one) for one in values)
        return red, green, blue

    def _refuse(self, key: str, supported: str) -> NoReturn:
        value = json.dumps(self._table.get(key))
        raise BackboneError(f"{self._where}: {key} is {value}; {supported}")


def _is_short_side(size: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(size, dict) and size.keys() == {"shortest_edge"}


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # False for NaN too, and for integers that no float can hold.
    return -1e300 < value < 1e300


def _tokenizer_definition(files: Mapping[str, Path]) -> Any:  # noqa: ANN401 - JSON of any shape
    """Everything that decides which ids a caption gets; transformers prefers tokenizer.json."""
    if path := files.get("tokenizer.json"):
        # How to cut and pad is decided with each call.
        return {**read_json_object(path, CLIP_FILE), "truncation": None, "padding": None}
    if path := files.get("vocab.json"):
        merges = files.get("merges.txt")
        return {
            "vocab": read_json_object(path, CLIP_FILE),
            "merges": lines_of(read_text(merges, CLIP_FILE)) if merges else [],
        }
    return None


def _listed(definition: Any) -> set[str]:  # noqa: ANN401 - JSON of any shape
    """The tokens that a tokenizer's own file adds to its vocabulary."""
    return {_content(token) for token in (definition or {}).get("added_tokens", [])}


def _added_tokens(
    files: Mapping[str, Path], settings: Mapping[str, Any], known: set[str]
) -> dict[str, Any]:
    """What else adds tokens, by its key; such tokens change the ids of captions that hold them."""
    more = {
        key: value
        for key, value in settings.items()
        if key in _MORE_TOKENS or (key.endswith("_token") and value is not None)
    }
    if path := files.get("added_tokens.json"):
        more["added_tokens.json"] = read_json_object(path, CLIP_FILE)
    return {key: value for key, value in more.items() if not _contents(value) <= known}


def _contents(value: Any) -> set[str]:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, list):
        return {_content(token) for token in value}
    if isinstance(value, dict) and "content" not in value:
        # Names to tokens, ids to tokens, or in added_tokens.json tokens to ids.
        return {key if isinstance(token, int) else _content(token) for key, token in value.items()}
    return set() if isinstance(value, bool) else {_content(value)}


def _content(token: Any) -> str:  # noqa: ANN401 - JSON of any shape
    return str(token.get("content") if isinstance(token, dict) else token)


def _has_lowercase(definition: Any) -> bool:  # noqa: ANN401 - JSON of any shape
    """Whether a tokenizer's rules lower the case; a bare vocabulary goes with CLIP's, which do."""
    if not definition or "vocab" in definition:
        return True
    return '"Lowercase"' in json.dumps(definition.get("normalizer"))


def _token(settings: Mapping[str, Any], name: str) -> str:
    token = settings.get(name)
    if token is None or (isinstance(token, dict) and token.get("content") is None):
        return "<|startoftext|>" if name == "bos_token" else "<|endoftext|>"
    return _content(token)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
