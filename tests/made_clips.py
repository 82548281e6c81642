"""Writes small CLIPs with random weights, which load like any other and know nothing."""

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel
from transformers.utils import logging as progress_bars

_START, _END = "<|startoftext|>", "<|endoftext|>"


def write_random_clip(
    folder: Path,
    *,
    seed: int = 0,
    dim: int = 16,
    width: int = 32,
    image_px: int = 32,
    max_tokens: int = 77,
) -> Path:
    """Write a CLIP folder: weights, and a tokenizer that takes text byte by byte."""
    vocabulary = _write_tokenizer(folder)
    tower = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = CLIPConfig(
        projection_dim=dim,
        vision_config=tower
        | {"image_size": image_px, "patch_size": image_px // 2, "projection_dim": dim},
        text_config=tower
        | {
            "vocab_size": len(vocabulary),
            "max_position_embeddings": max_tokens,
            "bos_token_id": vocabulary[_START],
            "eos_token_id": vocabulary[_END],
            "pad_token_id": vocabulary[_END],
            "projection_dim": dim,
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(config)
        _spread(model)
    progress_bars.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


@torch.no_grad()
def _spread(model: CLIPModel) -> None:
    """Draw matrices again; transformers' are so small that all videos would look alike."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)


def _write_tokenizer(folder: Path) -> dict[str, int]:
    letters = _byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), _START, _END]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    settings = {"tokenizer_class": "CLIPTokenizer", "bos_token": _START, "eos_token": _END}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return vocabulary


def _byte_letters() -> list[str]:
    """GPT-2's printable letter for each of the 256 bytes, which byte-level tokenizers share."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]
