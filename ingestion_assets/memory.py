"""Memory that work has left behind, back to the operating system."""

import ctypes
import gc
import time
from collections.abc import Callable

OFTEN = 10.0  # seconds; giving back takes some milliseconds
_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # of malloc.h
_LARGE = 512 * 1024  # bytes; a page fault for every 4 kB of smaller ones would cost more
_LARGE_AT_LEISURE = 128 * 1024  # bytes, of who waits most of the time


def prevent_fragmentation(large: int = _LARGE) -> None:
    """Have glibc give large pieces back as soon as they are free; nothing happens elsewhere.

    It would raise the size from which it does so to the largest answer there ever was, and lay the
    answers and vectors of a whole run between each other: memory grew by a third over 100,000
    chunks.

    Args:
        large: bytes from which a piece is a large one.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_ARENA_MAX, 1)  # a heap for every thread would be kept for every one
        library.mallopt(_MMAP_THRESHOLD, large)


class Memory:
    """Gives back what was freed, which the C library would keep for later, if that is glibc."""

    def __init__(self) -> None:
        prevent_fragmentation(_LARGE_AT_LEISURE)
        self._trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._latest = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether giving back is possible, and was not just done."""
        return self._trim is not None and time.monotonic() - self._latest > OFTEN

    def give_back(self) -> None:
        """Return what is free."""
        if self._trim is not None:
            gc.collect()
            self._trim(0)
            self._latest = time.monotonic()
