"""Scenes in, pictures out, as a camera and a video codec would leave them."""

from collections.abc import Sequence

import numpy as np
import torch

from mvadapter.synthetic.scenes import Rgb, Shape, draw_batch

SIZE_PX = 64
# CLIP's own, so that nothing about the preprocessing of the tiny CLIP is special.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def photograph(scenes: Sequence[Sequence[Shape]], rng: np.random.Generator) -> np.ndarray:
    """Draw scenes with varied background, brightness, blur, colour resolution and noise."""
    count = len(scenes)
    pictures = draw_batch(scenes, SIZE_PX, _backgrounds(count, rng)).astype(np.float32)
    blurred = rng.random(count) < 0.3
    pictures[blurred] = _blur(pictures[blurred])
    coarse = rng.random(count) < 0.5
    pictures[coarse] = _halve_color_resolution(pictures[coarse])
    pictures *= rng.uniform(0.85, 1.1, (count, 1, 1, 1)).astype(np.float32)
    # Even noise from whole numbers: drawing normal numbers takes longer than drawing the shapes.
    noise = rng.integers(-8, 8, pictures.shape, dtype=np.int8, endpoint=True)
    pictures += noise * rng.uniform(0.0, 1.2, (count, 1, 1, 1)).astype(np.float32)
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


def pixels_of(pictures: np.ndarray) -> torch.Tensor:
    """Normalise pictures [picture row column color] to pixels [picture color row column]."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0
    return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def _backgrounds(count: int, rng: np.random.Generator) -> list[Rgb]:
    tones = rng.uniform(15.0, 80.0, (count, 1)) + rng.uniform(-8.0, 8.0, (count, 3))
    return [(int(red), int(green), int(blue)) for red, green, blue in tones]


def _blur(pictures: np.ndarray) -> np.ndarray:
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    rows = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    return 0.25 * rows[:, :, :-2] + 0.5 * rows[:, :, 1:-1] + 0.25 * rows[:, :, 2:]


def _halve_color_resolution(pictures: np.ndarray) -> np.ndarray:
    """Keep brightness, average colour over squares of 2 by 2, as 4:2:0 video does."""
    brightness = (pictures @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]
    color = pictures - brightness
    rows = color[:, ::2] + color[:, 1::2]
    mean = 0.25 * (rows[:, :, ::2] + rows[:, :, 1::2])
    return brightness + mean.repeat(2, axis=1).repeat(2, axis=2)
