"""A safetensors file in, its tensors out."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from mvadapter.documents.text import DocumentKind, open_ordinary

_PICKLES = (".pt", ".pth", ".bin", ".ckpt")


def read_tensors(path: Path, kind: DocumentKind) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a safetensors file by name, and the texts stored with them.

    Raises:
        MvAdapterError: The kind's error: it is missing, no ordinary file, may not be read, is
            damaged or no safetensors file.
    """
    # Opened first, because safetensors waits for ever at a pipe, and reports every file that it
    # cannot open as one that is not there.
    with open_ordinary(path, kind):
        try:
            with safe_open(path, "pt") as file:
                texts = file.metadata() or {}
                return {name: file.get_tensor(name) for name in file.keys()}, texts  # noqa: SIM118
        except (SafetensorError, ValueError, RuntimeError) as error:
            if path.suffix in _PICKLES:
                raise kind.error(
                    f"{path}: not a safetensors file; PyTorch pickles can run code and are "
                    f"refused: save the tensors with safetensors"
                ) from error
            reason = str(error).partition("\n")[0]
            raise kind.fault(path, f"not a complete safetensors file ({reason})") from error
