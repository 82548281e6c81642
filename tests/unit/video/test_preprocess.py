from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from mvadapter.backbone.recipes import OPENAI_MEAN, OPENAI_STD, PixelRecipe, Resize
from mvadapter.errors import ConfigError, DataError
from mvadapter.video import preprocess
from mvadapter.video.decode import read_segment
from mvadapter.video.preprocess import (
    normalise,
    pad_frames,
    resize_and_crop,
    to_pixels,
)

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"


def as_transformers_does(images, size_px):
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size_px},
        crop_size={"height": size_px, "width": size_px},
        do_rescale=False,
        do_normalize=False,
    )
    return np.stack(
        [
            processor(image, return_tensors="np", input_data_format="channels_last")[
                "pixel_values"
            ][0]
            for image in images
        ]
    ).astype(int)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (2, 3), (37, 53), (61, 300), (240, 321), (225, 224), (190, 100)]
)
@pytest.mark.parametrize("size_px", [32, 225])
def test_pixels_are_those_of_transformers_at_any_size(height, width, size_px):
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3)).astype(np.uint8)

    ours = resize_and_crop(images, size_px)

    assert ours.dtype == torch.uint8
    assert np.abs(ours.numpy() - as_transformers_does(images, size_px)).max() <= 2


@pytest.mark.skipif(not CLIPS.is_dir(), reason="real clips are not at hand")
@pytest.mark.parametrize(
    "name", ["m014_man-skiing.mp4", "m079_v_Biking_g06_c03.avi", "m050_sample_demo_22.mp4"]
)
def test_pixels_are_those_of_transformers_on_real_frames(name):
    images = read_segment(CLIPS / name, num_frames=2, end_seconds=1.0).images

    ours = resize_and_crop(images, 224)

    assert np.abs(ours.numpy() - as_transformers_does(images, 224)).max() <= 2


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_way_of_other_devices_agrees_with_the_cpu(interpolation):
    stack = torch.randint(0, 256, (2, 3, 41, 57), dtype=torch.uint8)
    on_cpu = preprocess._scale(stack, (20, 27), interpolation)

    elsewhere = preprocess._scale_as_floats(stack, (20, 27), interpolation)

    assert (on_cpu.int() - elsewhere.int()).abs().max() <= 2


def test_arrays_and_tensors_give_the_same_pixels():
    images = np.random.default_rng(1).integers(0, 256, (1, 20, 30, 3)).astype(np.uint8)

    assert torch.equal(resize_and_crop(images, 16), resize_and_crop(torch.from_numpy(images), 16))


def test_normalised_pixels_have_the_mean_and_spread_of_clip():
    grey = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)

    pixels = normalise(grey, PixelRecipe.openai(2))

    expected = [(1 - mean) / spread for mean, spread in zip(OPENAI_MEAN, OPENAI_STD, strict=True)]
    torch.testing.assert_close(pixels[0, :, 0, 0], torch.tensor(expected))


def test_to_pixels_resizes_crops_and_normalises():
    images = np.random.default_rng(2).integers(0, 256, (3, 20, 30, 3)).astype(np.uint8)

    pixels = to_pixels(images, 16)

    assert pixels.shape == (3, 3, 16, 16)
    torch.testing.assert_close(
        pixels, normalise(resize_and_crop(images, 16), PixelRecipe.openai(16))
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_shorter_videos_are_filled_up_with_zeros_that_the_mask_hides(dtype):
    videos = [torch.ones(2, 3, 4, 4).to(dtype), torch.ones(3, 3, 4, 4).to(dtype)]

    stack, mask = pad_frames(videos, 3)

    assert stack.dtype == dtype
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert stack.sum(dim=(2, 3, 4)).tolist() == [[48, 48, 0], [48, 48, 48]]


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], "at least one video"),
        ([1, 0], "video 1 must have 1 to 3 frames, got 0"),
        ([4], "video 0 must have 1 to 3 frames, got 4"),
    ],
)
def test_videos_that_cannot_be_stacked_are_refused(lengths, message):
    with pytest.raises(DataError, match=message):
        pad_frames([torch.zeros(length, 3, 2, 2) for length in lengths], 3)


def test_frames_without_pixels_and_sizes_below_one_are_refused():
    with pytest.raises(DataError, match="at least one frame"):
        resize_and_crop(np.zeros((0, 4, 4, 3), np.uint8), 8)
    with pytest.raises(ConfigError, match="size_px must be at least 1, got 0"):
        resize_and_crop(np.zeros((1, 4, 4, 3), np.uint8), 0)


@pytest.mark.parametrize(("resample", "interpolation"), [(2, "bilinear"), (3, "bicubic")])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_every_recipe_gives_the_pixels_of_transformers(resample, interpolation, fit):
    images = np.random.default_rng(0).integers(0, 256, (2, 61, 100, 3)).astype(np.uint8)
    how = Resize(size_px=32, short_side_px=40 if fit == "crop" else 32, fit=fit,
                 interpolation=interpolation)  # fmt: skip
    size = {"shortest_edge": 40} if fit == "crop" else {"height": 32, "width": 32}
    processor = CLIPImageProcessorPil(
        size=size, crop_size=32, resample=resample, image_mean=[0.5] * 3, image_std=[0.25] * 3
    )

    recipe = PixelRecipe(resize=how, mean=(0.5,) * 3, std=(0.25,) * 3)
    ours = to_pixels(images, recipe)

    theirs = processor(list(images), return_tensors="pt")["pixel_values"]
    # At most 2 of 255 apart, as bytes.
    assert (ours - theirs).abs().max() <= 2 / 255 / 0.25 + 1e-6
