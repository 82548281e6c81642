"""A device in, a line that describes its machine out."""

import os
import platform
from pathlib import Path

import torch


def machine(device: str) -> str:
    """This machine in one line: architecture, cores, processor, and the GPU where one is used.

    Args:
        device: A torch device.
    """
    described = f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}"
    if device.startswith("cuda"):
        described += f", {torch.cuda.get_device_name(device)}"
    return described


def _processor() -> str:
    """The processor's name, where the system has it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
