"""The peak of memory, as each system counts it."""

import mmap
import runpy
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from mvadapter.comparison import memory

CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the peak")
def test_the_peak_is_that_since_the_reset():
    before = memory.reset_peak(CPU)
    # Straight from the system: an allocator may hand out memory that it has kept.
    with mmap.mmap(-1, 32 * 2**20) as block:
        np.frombuffer(block, np.uint8)[:] = 1

    assert memory.peak_bytes(CPU) - before > 0.9 * 32 * 2**20
    assert memory.reset_peak(CPU) - before < 0.5 * 32 * 2**20


def test_windows_counts_by_psutil_and_has_no_resource(monkeypatch):
    psutil = ModuleType("psutil")
    psutil.Process = lambda: SimpleNamespace(
        memory_info=lambda: SimpleNamespace(peak_wset=7, rss=3)
    )
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(sys, "platform", "win32")

    windows = runpy.run_path(memory.__file__)

    assert windows["reset_peak"](CPU) == windows["peak_bytes"](CPU) == 7


def test_macos_counts_by_resource(monkeypatch):
    resource = ModuleType("resource")
    resource.RUSAGE_SELF = 0
    resource.getrusage = lambda _who: SimpleNamespace(ru_maxrss=7)
    monkeypatch.setitem(sys.modules, "resource", resource)
    monkeypatch.setattr(sys, "platform", "darwin")

    macos = runpy.run_path(memory.__file__)

    assert macos["reset_peak"](CPU) == macos["peak_bytes"](CPU) == 7
