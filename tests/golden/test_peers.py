"""Our modules of other methods against tensors that the peers' own modules computed.

Origin: AdaptFormer's, Convpass's and ST-Adapter's code, float32 on a CPU, random weights and
inputs, as golden/README.md says.
"""

import pytest
import torch
from safetensors.torch import load_file
from torch.func import functional_call

from mvadapter.adapters.methods.convpass import ConvpassConfig, FrameBypass
from mvadapter.adapters.methods.st_adapter import StModule
from mvadapter.adapters.parts.bottleneck import Bottleneck
from mvadapter.backbone.sites import FrameLayout
from tolerances import rounding

WIDTH = 48
LAYOUT = FrameLayout(num_videos=2, num_frames=5, mask=torch.ones(2, 5, dtype=torch.bool))


def linear(ours, theirs):
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}


def convolution(theirs):
    return {"kernel": f"{theirs}.weight", "kernel_bias": f"{theirs}.bias"}


_OF_ADAPTFORMER = linear("down", "down_proj") | linear("up", "up_proj")
_OF_CONVPASS = (
    linear("down", "adapter_down") | convolution("adapter_conv") | linear("up", "adapter_up")
)
_OF_ST_ADAPTER = linear("down", "fc1") | convolution("conv") | linear("up", "fc2")

PEERS = {
    "adaptformer": (lambda: Bottleneck(WIDTH, 12, scale=0.1), _OF_ADAPTFORMER, ()),
    "convpass": (
        lambda: FrameBypass(ConvpassConfig(bottleneck_width=8, scale=1.0), WIDTH),
        _OF_CONVPASS,
        (LAYOUT,),
    ),
    "st_adapter": (lambda: StModule(WIDTH, 12, "3x1x1"), _OF_ST_ADAPTER, (LAYOUT,)),
    "st_adapter_333": (lambda: StModule(WIDTH, 12, "3x3x3"), _OF_ST_ADAPTER, (LAYOUT,)),
}


@pytest.fixture(params=PEERS)
def peer(request, golden_folder):
    """A module of ours with a peer's weights, the peer's input and output, what else it takes."""
    make, names, more = PEERS[request.param]
    tensors = load_file(golden_folder / "peers" / f"{request.param}.safetensors")
    module = make()
    module.load_state_dict({ours: tensors[f"weights.{theirs}"] for ours, theirs in names.items()})
    return module, tensors["input"], tensors["output"], more


@torch.no_grad()
def test_the_output_equals_the_peers(peer):
    module, tokens, expected, more = peer

    # In float64, so that all that is left is the rounding of the peers' float32.
    exact = module.double()(tokens.double(), *more)

    atol = rounding(WIDTH, float(expected.abs().max()))
    torch.testing.assert_close(exact, expected.double(), atol=atol, rtol=0)


def test_every_gradient_is_the_derivative_of_what_equals_the_peers_output(peer):
    # The peers' files hold no gradients; differences of the output, in float64, say what they are.
    module, tokens, _, more = peer
    weights = {name: weight.detach().double() for name, weight in module.named_parameters()}
    values = [tokens.double(), *weights.values()]

    def run(tokens, *values):
        return functional_call(module, dict(zip(weights, values, strict=True)), (tokens, *more))

    assert torch.autograd.gradcheck(
        run, [value.requires_grad_() for value in values], fast_mode=True
    )
