"""The name of a CLIP in, its files out: from a folder, the hub, or this package."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
from transformers.utils.hub import cached_file

from mvadapter.backbone.recipe_files import PROCESSOR_FILES, TOKENIZER_FILES
from mvadapter.errors import BackboneError

COMPANIONS = (*PROCESSOR_FILES, *TOKENIZER_FILES)
"""What a CLIP has beside its weights and configuration."""
# Of each of these a CLIP has at least one, or none because it was published without.
_EITHER = (PROCESSOR_FILES, ("tokenizer.json", "vocab.json"))

_TINY = Path(__file__).parent / "tiny"
# With these a name is a folder's, never a hub id.
_PATH_STARTS = ("/", ".", "~")
_EXPECTED = (
    "expected a folder with config.json, model.safetensors and the tokenizer's files, as "
    "save_pretrained of transformers writes it (weights that are pickles, .pt and .bin, are not "
    "opened)"
)


def source_of(name: str) -> str:
    """The folder or hub id behind a name, which may be ``"tiny"``."""
    return str(_TINY) if name == "tiny" else name


def lasting_name(name: str) -> str:
    """A CLIP's name that means the same in every working folder."""
    # Links stay links, so that a folder may be moved behind one.
    return os.path.abspath(name) if name != "tiny" and Path(name).is_dir() else name  # noqa: PTH100


def check_source(source: str) -> None:
    """Refuse what is no CLIP folder, and do not ask the hub for what can only be a folder.

    Raises:
        BackboneError: It is a file, lacks a file, or is not there.
    """
    path = Path(source)
    if path.is_file():
        raise BackboneError(f"{source}: is a file; {_EXPECTED}")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(f"{source}: not a CLIP folder, it has no config.json; {_EXPECTED}")
        if not any(path.glob("*.safetensors")):
            raise BackboneError(f"{source}: contains no safetensors weights; {_EXPECTED}")
    elif source.startswith(_PATH_STARTS) or source.count("/") > 1:
        raise BackboneError(f"{source}: no such folder; {_EXPECTED}")


def find_companions(source: str) -> dict[str, Path]:
    """Find what a CLIP has beside its weights, by name; what it does not have is left out.

    Raises:
        BackboneError: The hub cannot be asked, and the cache does not know either.
    """
    try:
        with quiet_hub():
            found = {name: _find(source, name) for name in COMPANIONS}
    except OSError as error:
        raise BackboneError(unreadable(source, error)) from error
    if not Path(source).is_dir():
        for names in _EITHER:
            if not any(found[name] or _is_known_to_be_absent(source, name) for name in names):
                raise BackboneError(
                    f"{source}: {names[-1]} is not in the cache; connect to the network "
                    f"once to download it"
                )
    return {name: path for name, path in found.items() if path is not None}


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Silence the hub's client, which warns of every attempt; one error reports the result."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def unreadable(source: str, error: Exception) -> str:
    """One line for a CLIP that cannot be read, with what to do."""
    reason = str(error).strip().splitlines()[0]
    if Path(source).exists():
        return f"{source}: the CLIP cannot be read: {reason}"
    return (
        f"{source}: no such folder, and the hub did not provide it ({reason}); use a folder, "
        f"connect to the network once to download it, or use 'tiny'"
    )


def _find(source: str, name: str) -> Path | None:
    path: str | None = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if path is None else Path(path)


def _is_known_to_be_absent(source: str, name: str) -> bool:
    return try_to_load_from_cache(source, name) is _CACHED_NO_EXIST
