"""How the process keeps its memory between forward passes."""

import ctypes
import sys

# mallopt(3), parameters of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
# The largest threshold that glibc takes: what is larger is mapped for itself, and no activation of a batch should be.
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
# Beyond any batch's activations. What a batch needed stays with the process, as it would beside the batch after.
_TRIM_THRESHOLD = 2**30


def keep_between_passes() -> bool:
    """Let malloc keep what one forward pass freed for the next; whether this C library could be told so.

    A thread that is not the main one gets an arena of 64 MiB pieces, which are given back to the kernel whenever they
    are empty. Batches of activations empty them at every pass, and the kernel clears each page again on first touch:
    tens of thousands of faults a pass of 32 photos through a ViT-B/32, none with one arena that is kept. It must be
    called before there are threads, for a thread keeps the arena it has.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library than glibc
        return False
    wanted = {
        _M_ARENA_MAX: 1,
        _M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD,
        _M_TRIM_THRESHOLD: _TRIM_THRESHOLD,
    }
    taken = [mallopt(parameter, value) == 1 for parameter, value in wanted.items()]
    return all(taken)
