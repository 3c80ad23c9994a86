"""Memory of this process, as the system counts it, or of its GPU, as torch does."""

import ctypes
import gc
import sys
from pathlib import Path

import psutil
import torch

# Linux: writing 5 here makes the process's present memory its largest so far.
_CLEAR_PEAK = Path("/proc/self/clear_refs")


def memory_bytes(device: str | torch.device = "cpu") -> int:
    """Memory in use now."""
    if torch.device(device).type == "cuda":
        return torch.cuda.memory_allocated()
    return psutil.Process().memory_info().rss


def peak_memory_bytes(device: str | torch.device = "cpu") -> int:
    """The most that was in use since the start, or since :func:`give_back`."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    info = psutil.Process().memory_info()
    if hasattr(info, "peak_wset"):  # Windows; elsewhere psutil does not know the largest
        return info.peak_wset
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_back() -> None:
    """Return freed memory to the system, and begin the count of the largest anew, as far as the system can."""
    gc.collect()
    if sys.platform == "linux":
        if hasattr(c := ctypes.CDLL(None), "malloc_trim"):
            c.malloc_trim(0)
        if _CLEAR_PEAK.exists():
            _CLEAR_PEAK.write_text("5")
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
