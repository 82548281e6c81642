import threading

import pytest
import torch
from PIL import Image

from made_videos import write_video
from mvadapter import (
    Backbone,
    Encoder,
    FrozenConfig,
    Inputs,
    LoraConfig,
    MvAdapterConfig,
    build_adapter,
    read_segment,
    save_adapter,
    to_pixels,
)
from mvadapter.encoder.encode import mean_pool
from mvadapter.errors import ConfigError, VideoError
from tolerances import EMBEDDING, in_float64, rounding


def test_mean_pool_ignores_padded_frames():
    frames = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])

    pooled = mean_pool(frames, mask)

    # By hand: (1, 0) and (0, 1) average to (0.5, 0.5), scaled to unit length.
    torch.testing.assert_close(pooled, torch.tensor([[0.5**0.5, 0.5**0.5]]))


def test_mean_pool_survives_what_padding_may_hold():
    frames = torch.tensor([[[1.0, 0.0], [torch.inf, torch.nan]]])

    pooled = mean_pool(frames, torch.tensor([[True, False]]))

    torch.testing.assert_close(pooled, torch.tensor([[1.0, 0.0]]))


def test_a_video_without_a_real_frame_is_an_error():
    with pytest.raises(ValueError, match="video 1 of the batch has no real frame"):
        mean_pool(torch.ones(2, 1, 2), torch.tensor([[True], [False]]))


def test_embeddings_have_unit_length(random_clip):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))

    videos = encoder.embed_videos(torch.randn(2, 3, 3, 32, 32), torch.ones(2, 3).bool())
    captions = encoder.embed_captions(["a", "b c"])

    torch.testing.assert_close(videos.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(captions.norm(dim=1), torch.ones(2))


def test_inputs_follow_the_adapters_positions(random_clip):
    config = MvAdapterConfig(num_frames=5, max_tokens=9)

    encoder = Encoder(random_clip, build_adapter(config, random_clip))

    assert encoder.inputs == Inputs(num_frames=5, max_tokens=9)


def test_inputs_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="num_frames must be at least 1"):
        Inputs(num_frames=0)
    with pytest.raises(ConfigError, match="max_tokens must be at least 3"):
        Inputs(max_tokens=2)


def test_swapping_an_adapter_is_an_assignment(random_clip):
    first, second = (build_adapter(MvAdapterConfig(), random_clip) for _ in range(2))
    for adapter in (first, second):
        torch.nn.init.normal_(adapter.video_blocks[1].up.weight)
    pixels, mask = torch.randn(1, 2, 3, 32, 32), torch.ones(1, 2).bool()
    encoder = Encoder(random_clip, first)
    before = encoder.embed_videos(pixels, mask)

    encoder.adapter = second
    between = encoder.embed_videos(pixels, mask)
    encoder.adapter = first

    assert not torch.allclose(before, between)
    assert torch.equal(before, encoder.embed_videos(pixels, mask))


def test_threads_use_different_adapters_on_one_backbone(random_clip):
    encoders = [
        Encoder(random_clip, build_adapter(MvAdapterConfig(), random_clip)) for _ in range(4)
    ]
    for encoder in encoders:
        torch.nn.init.normal_(encoder.adapter.video_blocks[1].up.weight)
    # A thread may add in another order, for it may use more cores.
    encoders = [in_float64(encoder) for encoder in encoders]
    pixels, mask = torch.randn(1, 2, 3, 32, 32), torch.ones(1, 2).bool()
    alone = [encoder.embed_videos(pixels, mask) for encoder in encoders]
    together = [torch.empty(0)] * 4

    def embed(position):
        for _ in range(5):
            together[position] = encoders[position].embed_videos(pixels, mask)

    threads = [threading.Thread(target=embed, args=(position,)) for position in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs, atol=rounding(ours.shape[1]), rtol=0)


def test_the_temperature_is_clips_own(random_clip):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))

    expected = float(random_clip.weights["logit_scale"].exp())
    assert encoder.temperature == pytest.approx(expected)


def test_a_caption_given_alone_is_one_caption(random_clip):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))

    alone, among = encoder.embed_captions("a dog"), encoder.embed_captions(["a dog", "two"])

    assert alone.shape == (1, random_clip.dim)
    torch.testing.assert_close(alone[0], among[0], atol=EMBEDDING, rtol=0)


def test_an_encoder_is_loaded_by_the_names_of_its_clip_and_adapter(random_clip_folder, tmp_path):
    backbone = Backbone.load(random_clip_folder)
    adapter = build_adapter(LoraConfig(rank=2), backbone)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(torch.randn_like(parameter))
    save_adapter(Encoder(backbone, adapter, inputs=Inputs(num_frames=3)), tmp_path / "mine")

    frozen = Encoder.load(random_clip_folder, inputs=Inputs(num_frames=5))
    adapted = Encoder.load(random_clip_folder, tmp_path / "mine")

    assert frozen.adapter.config == FrozenConfig()
    assert frozen.inputs.num_frames == 5
    assert adapted.inputs.num_frames == 3
    assert torch.equal(
        adapted.embed_captions("a dog"), Encoder(backbone, adapter).embed_captions("a dog")
    )


def test_video_files_are_embedded_as_their_frames_are(random_clip, tmp_path):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))
    paths = [write_video(tmp_path / f"{n}.mp4", range(n, n + 20)) for n in (0, 40)]

    found = encoder.embed_video_files(paths)

    frames = [to_pixels(read_segment(path, 12).images, random_clip.pixels) for path in paths]
    expected = encoder.embed_videos(torch.stack(frames), torch.ones(2, 12).bool())
    torch.testing.assert_close(found, expected, atol=EMBEDDING, rtol=0)
    assert not found.requires_grad


def test_a_file_without_frames_is_an_error(random_clip, tmp_path):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))
    (tmp_path / "bad.mp4").write_text("no video")

    with pytest.raises(VideoError, match=r"bad\.mp4"):
        encoder.embed_video_files([tmp_path / "bad.mp4"])


def test_a_picture_is_a_video_of_one_frame(random_clip):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))
    array = torch.randint(0, 256, (48, 64, 3)).byte().numpy()

    found = encoder.embed_images([array, Image.fromarray(array)])

    pixels = to_pixels(array[None], random_clip.pixels)[None]
    expected = encoder.embed_videos(pixels, torch.ones(1, 1).bool())[0]
    for embedding in found:
        torch.testing.assert_close(embedding, expected, atol=EMBEDDING, rtol=0)


def test_a_photo_is_turned_upright(random_clip):
    encoder = Encoder(random_clip, build_adapter(FrozenConfig(), random_clip))
    upright = Image.fromarray(torch.randint(0, 256, (40, 40, 3)).byte().numpy())
    turned = upright.rotate(90)
    turned.getexif()[0x0112] = 6  # what a camera writes that was held on its side

    found = encoder.embed_images([turned, upright])

    assert torch.equal(found[0], found[1])
