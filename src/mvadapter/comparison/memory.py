"""A device in, the peak of memory on it out."""

import re
import sys
from contextlib import suppress
from pathlib import Path

import torch

if sys.platform == "win32":
    import psutil
else:
    import resource

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_LINUX_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def reset_peak(device: torch.device) -> int:
    """Measure the peak of memory from here on, where the system can; return what is in use now.

    Windows and macOS cannot: there the peak is that of the process since its start.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        # A process starts with the peak of its parent (man proc_pid_clear_refs).
        # Where a container forbids it, the peak is that of the process since its start.
        with suppress(OSError):
            _CLEAR_REFS.write_text("5", encoding="ascii")
    return peak_bytes(device)


def peak_bytes(device: torch.device) -> int:
    """The peak of memory so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        peak = psutil.Process().memory_info().peak_wset
    elif sys.platform == "linux":
        peak = 1024 * int(_LINUX_PEAK.findall(_STATUS.read_text(encoding="ascii"))[0])
    else:
        # macOS counts bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak)
