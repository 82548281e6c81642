import os

import pytest
import torch
from safetensors.torch import save_file

from mvadapter.documents.tensors import read_tensors
from mvadapter.documents.text import DocumentKind
from mvadapter.errors import DataError

KIND = DocumentKind(error=DataError, expected="tensors", advice="copy the file again")


@pytest.fixture
def path(tmp_path):
    save_file({"a": torch.arange(100.0)}, tmp_path / "t.safetensors", metadata={"b": "c"})
    return tmp_path / "t.safetensors"


def test_tensors_and_texts_are_read(path):
    tensors, texts = read_tensors(path, KIND)

    assert tensors["a"].tolist() == list(range(100))
    assert texts == {"b": "c"}


@pytest.mark.parametrize("num_bytes", [0, 5, 40, 470])
def test_a_file_that_is_cut_off_is_refused(path, num_bytes):
    os.truncate(path, num_bytes)

    with pytest.raises(
        DataError,
        match=r"t\.safetensors: not a complete safetensors file \(.*\); copy the file again$",
    ):
        read_tensors(path, KIND)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_and_not_waited_for(path):
    path.unlink()
    os.mkfifo(path)

    with pytest.raises(DataError, match="is a pipe, not an ordinary file; expected tensors"):
        read_tensors(path, KIND)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_that_comes_between_looking_and_opening_is_not_waited_for(path, monkeypatch):
    opened = os.open

    def exchange(name, *arguments, **options):
        path.unlink()
        os.mkfifo(path)
        return opened(name, *arguments, **options)

    monkeypatch.setattr(os, "open", exchange)

    with pytest.raises(DataError, match="is a pipe, not an ordinary file; expected tensors"):
        read_tensors(path, KIND)
