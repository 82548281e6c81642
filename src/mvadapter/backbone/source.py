"""The name of a CLIP in, its files out: from a folder, the hub, or this package."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import _CACHED_NO_EXIST, HfApi, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils._validators import validate_repo_id
from transformers.utils.hub import cached_file

from mvadapter.backbone.recipe_files import CLIP_FILE, PROCESSOR_FILES, TOKENIZER_FILES
from mvadapter.documents.values import read_json_object
from mvadapter.errors import BackboneError

COMPANIONS = (*PROCESSOR_FILES, *TOKENIZER_FILES)
"""What a CLIP has beside its weights and configuration."""
# Of each of these a CLIP has at least one, or none because it was published without.
_EITHER = (PROCESSOR_FILES, ("tokenizer.json", "vocab.json"))

_TINY = Path(__file__).parent / "tiny"
_TIMEOUT_SECONDS = 4
# With these a name is a folder's, never a hub id.
_PATH_STARTS = ("/", ".", "~")
_EXPECTED = (
    "expected a folder with config.json, model.safetensors and the tokenizer's files, as "
    "save_pretrained of transformers writes it (weights that are pickles, .pt and .bin, are not "
    "opened)"
)


def source_of(name: str) -> str:
    """The folder or hub id behind a name, which may be ``"tiny"``.

    Of a hub id whose files are all in the hub's cache it is their folder there, so that the hub is
    not asked, which takes long without a network.
    """
    if name == "tiny":
        return str(_TINY)
    cached = None if _is_path(name) else _complete_snapshot(name)
    return name if cached is None else str(cached)


def lasting_name(name: str) -> str:
    """A CLIP's name that means the same in every working folder."""
    # Links stay links, so that a folder may be moved behind one.
    return os.path.abspath(name) if name != "tiny" and Path(name).is_dir() else name  # noqa: PTH100


def check_source(source: str) -> None:
    """Refuse what is no CLIP folder, and what the hub does not have or does not answer for.

    Raises:
        BackboneError: It is a file, lacks a file, has a damaged config.json, is not there, or the
            hub does not answer in time.
    """
    path = Path(source)
    if path.is_file():
        raise BackboneError(f"{source}: is a file; {_EXPECTED}")
    if source and path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(f"{source}: not a CLIP folder, it has no config.json; {_EXPECTED}")
        # As strictly as everything else, before transformers reads it.
        read_json_object(path / "config.json", CLIP_FILE)
        if not any(file.is_file() for file in path.glob("*.safetensors")):
            raise BackboneError(f"{source}: contains no safetensors weights; {_EXPECTED}")
    elif source.startswith(_PATH_STARTS) or source.count("/") > 1:
        raise BackboneError(f"{source}: no such folder; {_EXPECTED}")
    elif not _is_hub_id(source):
        raise BackboneError(f"{source!r}: no such folder, and no hub id; {_EXPECTED}")
    else:
        _ask_hub(source)


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
    reason = str(error).strip().partition("\n")[0]
    if Path(source).exists():
        return f"{source}: the CLIP cannot be read: {reason}"
    return (
        f"{source}: no such folder, and the hub did not provide it ({reason}); use a folder, "
        f"connect to the network once to download it, or use 'tiny'"
    )


def _is_path(name: str) -> bool:
    return name.startswith(_PATH_STARTS) or not _is_hub_id(name) or Path(name).exists()


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _complete_snapshot(name: str) -> Path | None:
    """The folder in the hub's cache that holds all files of a CLIP; None if one may be missing."""
    config = _cached(name, "config.json")
    if config is None or any(
        not any(_cached(name, file) or _is_known_to_be_absent(name, file) for file in either)
        for either in _EITHER
    ):
        return None
    return config.parent if _has_all_weights(config.parent) else None


def _has_all_weights(folder: Path) -> bool:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    try:
        files = set(read_json_object(index, CLIP_FILE)["weight_map"].values())
    except (BackboneError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / file).is_file() for file in files)


def _ask_hub(name: str) -> None:
    """Ask the hub whether it has a CLIP, because what follows waits for it many times.

    Raises:
        BackboneError: It does not answer in time, or has none of this name.
    """
    try:
        HfApi().model_info(name, timeout=_TIMEOUT_SECONDS)
    except OfflineModeIsEnabled:
        # Nothing waits then; what is in the cache may be enough.
        return
    # The hub's client and what it stands on raise exceptions that have no base in common.
    except Exception as error:
        raise BackboneError(unreadable(name, error)) from error


def _cached(name: str, file: str) -> Path | None:
    found = try_to_load_from_cache(name, file)
    return Path(found) if isinstance(found, str) else None


def _find(source: str, name: str) -> Path | None:
    place = Path(source) / name
    # transformers would take a pipe, a folder or a dangling link for a file that is not there.
    if Path(source).is_dir() and not place.is_file() and (place.exists() or place.is_symlink()):
        raise BackboneError(f"{place}: is not an ordinary file; copy the CLIP again")
    path: str | None = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if path is None else Path(path)


def _is_known_to_be_absent(source: str, name: str) -> bool:
    return try_to_load_from_cache(source, name) is _CACHED_NO_EXIST
