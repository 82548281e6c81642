import torch

from mvadapter import Encoder, FrozenConfig, Inputs, build_adapter
from mvadapter.embedding.batch import embed_batch, stack_videos


def test_stacked_videos_are_padded_with_zeros_after_normalising(random_clip):
    adapter = build_adapter(FrozenConfig(), random_clip)
    wide = Encoder(random_clip, adapter, inputs=Inputs(num_frames=3))
    videos = [torch.full((2, 3, 4, 4), 255, dtype=torch.uint8), torch.zeros(1, 3, 4, 4).byte()]

    pixels, mask = stack_videos(wide, videos)

    assert mask.tolist() == [[True, True, False], [True, False, False]]
    assert pixels[~mask].abs().max() == 0
    assert pixels[mask].abs().min() > 0


def test_a_batch_is_embedded_as_the_encoder_embeds_its_pixels(encoder):
    videos = [torch.randint(0, 256, (n, 3, 32, 32)).byte() for n in (2, 1)]

    embedded = embed_batch(encoder, videos, "float32")

    expected = encoder.embed_videos(*stack_videos(encoder, videos))
    assert torch.equal(embedded, expected)
    assert not embedded.requires_grad


def test_bfloat16_is_near_float32(encoder):
    videos = [torch.randint(0, 256, (2, 3, 32, 32)).byte()]

    exact, rounded = (embed_batch(encoder, videos, one) for one in ("float32", "bfloat16"))

    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    # Eight bits of mantissa, over two blocks.
    assert (exact - rounded).norm() < 0.1
