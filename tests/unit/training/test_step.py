"""One step of training."""

import math

import pytest
import torch

from mvadapter import Encoder, build_adapter
from mvadapter.adapters.methods.full import FullConfig
from mvadapter.embedding.inputs import Inputs
from mvadapter.errors import TrainingError
from mvadapter.training.step import take_step


@pytest.mark.parametrize("start", [math.log(100), 6.0])
def test_a_temperature_at_its_bound_still_learns(random_clip, start):
    inputs = Inputs(num_frames=2, max_tokens=8)
    encoder = Encoder(random_clip, build_adapter(FullConfig(), random_clip), inputs=inputs)
    scale = encoder.adapter.backbone_weights["logit_scale"]
    with torch.no_grad():
        scale.fill_(start)
    size = random_clip.vision.image_px
    generator = torch.Generator().manual_seed(0)
    frames = [
        torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=generator)
        for _ in range(2)
    ]
    optimizer = torch.optim.SGD([scale], lr=0.0)

    def step():
        captions = ["a dog", "a cat"]
        take_step(encoder, optimizer, frames, captions, precision="float32", max_gradient_norm=1e9)

    step()

    # Radford et al. 2021, section 2.5: the factor is 100 at most; it may come down again.
    assert encoder.temperature == pytest.approx(100)
    assert scale.grad is not None and scale.grad != 0


def test_too_little_memory_says_what_takes_less(random_clip, monkeypatch):
    encoder = Encoder(random_clip, build_adapter(FullConfig(), random_clip))
    size = random_clip.vision.image_px

    def embed(*_videos):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")

    monkeypatch.setattr(Encoder, "embed_videos", embed)

    with pytest.raises(TrainingError, match=r"^CUDA out of memory; set .*gradient_checkpointing"):
        take_step(
            encoder,
            torch.optim.SGD(encoder.trainable_parameters().values(), lr=0.1),
            [torch.zeros(2, 3, size, size, dtype=torch.uint8)] * 2,
            ["a dog", "a cat"],
            precision="float32",
            max_gradient_norm=1.0,
        )
