"""The CPU library after a fork.

In: word that it runs. Out: an error in a child that was forked after it had run. Its threads are OpenMP's: a child
has none of them, and waits for them all the same.
"""

from __future__ import annotations

import os

from .errors import NormropeError

FIX = 'Start processes with multiprocessing\'s "spawn" or "forkserver"'

_has_run = False
_was_forked_since = False


def enter_cpu_library() -> None:
    """To be called before the library runs. Raises `device-error` where it would never return."""
    global _has_run
    if _was_forked_since:
        message = "this process was forked from one that had run the CPU library, whose threads are not here"
        raise NormropeError("device-error", message, FIX)
    _has_run = True


def _after_fork() -> None:
    global _was_forked_since
    _was_forked_since = _has_run


os.register_at_fork(after_in_child=_after_fork)
