"""Captions in, token ids out, with the tokenizer that belongs to a CLIP."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Encoding, Regex, normalizers
from transformers import CLIPTokenizer

from mvadapter.backbone.recipes import TextRecipe
from mvadapter.documents.text import has_lone_surrogate
from mvadapter.errors import BackboneError, DataError
from mvadapter.settings import MIN_TOKENS, check_range
from mvadapter.shapes import TokenIds, TokenMask

# More by far than the longest token of any vocabulary.
_CHARACTERS_PER_TOKEN = 1000
# Only what every tokenizer takes for a space.
_SPACES = re.compile(r"[ \t\n\r]+")


class CaptionTokenizer:
    """Transformers' CLIP tokenizer of one folder or hub id.

    Args:
        name_or_path: The folder or hub id of the CLIP.
        recipe: How that CLIP expects its captions.

    Raises:
        BackboneError: There is no tokenizer, or it cannot be fetched.
    """

    def __init__(self, name_or_path: str, recipe: TextRecipe) -> None:
        path = Path(name_or_path)
        files = ("tokenizer.json", "vocab.json")
        if path.is_dir() and not any((path / name).is_file() for name in files):
            raise BackboneError(
                f"{path}: no tokenizer here (neither {' nor '.join(files)}); captions cannot be "
                f"embedded until the tokenizer's files are in that folder"
            )
        try:
            tokenizer = CLIPTokenizer.from_pretrained(name_or_path)
        # transformers and tokenizers raise exceptions that have no base in common.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise BackboneError(
                f"{name_or_path}: the tokenizer cannot be read: {reason}"
            ) from error
        # Captions are cut here, not there: truncation is a state of the tokenizer, which threads
        # with different lengths would change under one another.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if not recipe.is_lowercased:
            # transformers' CLIPTokenizer lowers the case of every CLIP.
            self._tokenizer.normalizer = normalizers.Sequence(
                [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " ")]
            )
        self.max_tokens = recipe.max_tokens
        """The most tokens that the CLIP takes."""
        pad_id = self._tokenizer.token_to_id(recipe.padding)
        if pad_id is None:
            raise BackboneError(
                f"{name_or_path}: the pad token {recipe.padding!r} is not in the vocabulary"
            )
        self._pad_id = pad_id

    def encode(self, captions: Sequence[str], max_tokens: int) -> tuple[TokenIds, TokenMask]:
        """Turn captions into start + words + end, padded or cut to ``max_tokens`` tokens.

        ``max_tokens`` counts all tokens, start and end included, as MV-Adapter's and CLIP4Clip's
        settings do (32 for short, 64 for paragraph captions). A longer caption
        keeps its end token. None gets more tokens than the CLIP's recipe allows.

        Raises:
            ConfigError: ``max_tokens`` leaves no room for a word.
            DataError: A caption contains half a character (a lone surrogate).
        """
        check_range("max_tokens", max_tokens, MIN_TOKENS)
        longest = min(max_tokens, self.max_tokens)
        token_ids = torch.full((len(captions), max_tokens), self._pad_id)
        mask = torch.zeros(len(captions), max_tokens, dtype=torch.bool)
        for caption, encoding in enumerate(self._encode(captions, longest)):
            row = encoding.ids
            if len(row) > longest:
                row = [*row[: longest - 1], row[-1]]
            token_ids[caption, : len(row)] = torch.tensor(row)
            mask[caption, : len(row)] = True
        return token_ids, mask

    def count_cut(self, captions: Sequence[str], max_tokens: int) -> int:
        """How many captions `encode` would cut, start and end counted as tokens."""
        longest = min(max_tokens, self.max_tokens)
        return sum(len(encoding.ids) > longest for encoding in self._encode(captions, longest))

    def left_out(self, caption: str, max_tokens: int) -> str:
        """The end of a caption that `encode` would cut off; empty where it is complete.

        Of a caption that is much too long, the beginning of that end.
        """
        longest = min(max_tokens, self.max_tokens)
        (encoding,) = self._encode([caption], longest)
        if len(encoding.ids) <= longest:
            return ""
        # The last place is the end token's.
        first, _ = encoding.offsets[longest - 1]
        return _bounded(caption, longest)[first:].strip()

    def _encode(self, captions: Sequence[str], longest: int) -> list[Encoding]:
        for caption in captions:
            if has_lone_surrogate(caption):
                raise DataError(f"{caption!r} contains half a character; write it as UTF-8 text")
        return self._tokenizer.encode_batch([_bounded(caption, longest) for caption in captions])


def _bounded(caption: str, longest: int) -> str:
    """Leave out what of a very long caption cannot reach its first ``longest`` tokens.

    Each word is at least one token. No token is nearly as long as the characters that a single word
    keeps for each, and how the end of a word is split does not reach back that far.
    """
    if len(caption) <= _CHARACTERS_PER_TOKEN * longest:
        return caption
    words = _SPACES.split(caption, maxsplit=longest)
    return " ".join(words[:longest])[: _CHARACTERS_PER_TOKEN * longest]
