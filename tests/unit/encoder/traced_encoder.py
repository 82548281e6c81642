"""Exports and compiles an encoder's three ways forward; run as a program of its own.

The checks of shapes at test time and torch's tracing exclude each other, so the tests run this
without them.
"""

import sys
from itertools import product

import torch
from torch import nn

from mvadapter import Backbone, Encoder, Inputs, build_adapter
from mvadapter.adapters.build import adapter_config

METHODS = {
    "frozen": {},
    "full": {},
    "prompts": {},
    "mv-adapter": {"bottleneck_width": 8, "factor_dim": 4, "num_frames": 4, "max_tokens": 8},
}


class Forward(nn.Module):
    """One way forward of an encoder as a module, which is what torch exports."""

    def __init__(self, encoder, name):
        super().__init__()
        self.adapter = encoder.adapter
        self._forward = getattr(encoder, name)

    def forward(self, *inputs):
        return self._forward(*inputs)


def made_encoder(config, backbone):
    """An encoder whose adapter is away from its start."""
    adapter = build_adapter(config, backbone)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Encoder(backbone, adapter, inputs=Inputs(num_frames=4, max_tokens=8))


def trace(how, module, inputs):
    match how:
        case "export":
            return torch.export.export(module, inputs).module()
        case "compile":
            # Without generating code, which needs a compiler: it is the tracing that may fail.
            return torch.compile(module, fullgraph=True, backend="aot_eager")


def main(clip_folder):
    torch.manual_seed(0)
    backbone = Backbone.load(clip_folder)
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    videos = torch.randn(2, 4, 3, 32, 32), mask
    captions = torch.randint(1, 500, (2, 8)), torch.arange(8) < torch.tensor([[8], [5]])
    inputs = {"embed_frames": videos, "embed_videos": videos, "embed_tokens": captions}
    for method, settings in METHODS.items():
        encoder = made_encoder(adapter_config(method, settings, method), backbone)
        for (name, given), how in product(inputs.items(), ["export", "compile"]):
            # Each is a first call: dynamo gives up on a function that it sees in many forms.
            torch.compiler.reset()
            module = Forward(encoder, name)
            with torch.no_grad():
                torch.testing.assert_close(trace(how, module, given)(*given), module(*given))
            sys.stdout.write(f"{method} {name} {how}\n")


if __name__ == "__main__":
    main(sys.argv[1])
