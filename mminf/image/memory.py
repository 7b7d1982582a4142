"""Keeps the memory of freed images in the process, for the next ones."""

from __future__ import annotations

import contextlib
import os
from functools import cache

_TRIM, _MMAP, _ARENAS = -1, -3, -8
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of glibc's malloc.h (mallopt(3))."""
_KEPT = 256 * 2**20
"""Bytes of free memory at the end of the heap that are not returned to the system."""
_LARGE = 32 * 2**20
"""Bytes from which memory is requested from the system by itself, and returned when it is freed; glibc's maximum."""


@cache
def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory, and to make no new heaps: threads that start later share those that exist.

    An image of one megapixel takes several blocks of 3 to 6 MB while it is decoded, scaled and cut, in several threads.
    By default, each thread has a heap of its own, and free memory soon returns to the system, so that images get new
    pages again and again: one page fault per 4 KB (docs/benchmarks.md). With another libc, or if environment variables
    set malloc up (`MALLOC_...`, `GLIBC_TUNABLES`), nothing changes.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError, TypeError):  # another libc, or another system
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((_TRIM, _KEPT), (_MMAP, _LARGE), (_ARENAS, 1)):
            mallopt(option, value)
