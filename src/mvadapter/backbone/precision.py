"""In which precision arithmetic runs; the weights of adapters are always float32."""

from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["float32", "bfloat16"]
PrecisionChoice: TypeAlias = Literal["auto", "float32", "bfloat16"]
"""``auto`` is bfloat16 on a processor that multiplies bfloat16 matrices itself, else float32."""

# x86's two, and ARM's.
_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


def choose_precision(choice: PrecisionChoice, device: torch.device) -> Precision:
    """Settle ``auto`` by what the processor has: the same answer each time on one machine."""
    if choice != "auto":
        return choice
    return "bfloat16" if _multiplies_bfloat16(device) else "float32"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Run the tensor arithmetic inside in this precision."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _multiplies_bfloat16(device: torch.device) -> bool:
    match device.type:
        case "cpu":
            has = torch.cpu.get_capabilities()
            return any(has.get(name, False) for name in _CPU_INSTRUCTIONS)
        case "cuda":
            return torch.cuda.is_bf16_supported(including_emulation=False)
        case "xpu":
            return True
        case _:
            return False
