"""Our modules of other methods against tensors that the peers' own modules computed.

Origin: AdaptFormer's, Convpass's and ST-Adapter's code, float32 on a CPU, random weights and
inputs, as golden/README.md says.
"""

import pytest
import torch
from safetensors.torch import load_file

from mvadapter.adapters.bottleneck import Bottleneck
from mvadapter.adapters.convpass import ConvpassConfig, PictureBypass
from mvadapter.adapters.st_adapter import StModule
from mvadapter.backbone.sites import FrameLayout

WIDTH = 48


def load(golden_folder, name, module, names):
    tensors = load_file(golden_folder / "peers" / f"{name}.safetensors")
    module.load_state_dict({ours: tensors[f"weights.{theirs}"] for ours, theirs in names.items()})
    return tensors["input"], tensors["output"]


def linear(ours, theirs):
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}


@torch.no_grad()
def test_the_bottleneck_equals_adaptformers(golden_folder):
    bottleneck = Bottleneck(WIDTH, 12, scale=0.1)
    names = linear("down", "down_proj") | linear("up", "up_proj")
    tokens, expected = load(golden_folder, "adaptformer", bottleneck, names)

    torch.testing.assert_close(bottleneck(tokens), expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_bypass_equals_convpass(golden_folder):
    bypass = PictureBypass(ConvpassConfig(bottleneck_width=8, scale=1.0), WIDTH)
    names = linear("down", "adapter_down") | linear("up", "adapter_up")
    names |= {"kernel": "adapter_conv.weight", "kernel_bias": "adapter_conv.bias"}
    tokens, expected = load(golden_folder, "convpass", bypass, names)

    torch.testing.assert_close(bypass(tokens), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("file", "kernel"), [("st_adapter", "3x1x1"), ("st_adapter_333", "3x3x3")])
@torch.no_grad()
def test_the_convolution_over_time_equals_st_adapters(golden_folder, file, kernel):
    module = StModule(WIDTH, 12, kernel)
    names = linear("down", "fc1") | linear("up", "fc2")
    names |= {"kernel": "conv.weight", "kernel_bias": "conv.bias"}
    tokens, expected = load(golden_folder, file, module, names)
    layout = FrameLayout(num_videos=2, num_frames=5, mask=torch.ones(2, 5, dtype=torch.bool))

    torch.testing.assert_close(module(tokens, layout), expected, atol=1e-6, rtol=1e-5)
