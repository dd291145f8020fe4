"""How often kernels were launched, where other processes can read it, too.

In: the id of a kernel. Out: its counter; the counts of this process, or of any other of the same user. They lie in an
unnamed file that Linux shows under /proc as long as the process lives, so no server has to answer for them. The replay
of a CUDA graph is no call, and so not counted.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import threading
from pathlib import Path

from .errors import NormropeError, invalid_argument

_NAME = "normrope-launches"
#: A row is a count of eight bytes, and the id of the kernel.
_ROW_BYTES, _COUNT_BYTES = 512, 8
#: Those that find no row of their own are counted in the last. Memory is only taken where rows are used.
_ROWS = 4096
_REST = "other kernels"

_MFD_CLOEXEC = 1

#: A count, as a memory of one number. Python adds to it without a thread in between.
Counter = memoryview

_counters: dict[str, Counter] = {}
_memory: mmap.mmap | None = None
_lock = threading.Lock()


def counter_of(kernel_id: str) -> Counter:
    """The counter of a kernel in this process; `counter[0] += 1` is a launch."""
    global _memory
    with _lock:
        if _memory is None:
            _memory = _new_memory()
        name = kernel_id if kernel_id in _counters or len(_counters) < _ROWS - 1 else _REST
        if name not in _counters:
            start = len(_counters) * _ROW_BYTES
            text = name.encode()[: _ROW_BYTES - _COUNT_BYTES]
            _memory[start + _COUNT_BYTES : start + _COUNT_BYTES + len(text)] = text
            _counters[name] = memoryview(_memory)[start : start + _COUNT_BYTES].cast("Q")
        return _counters[name]


def _new_memory() -> mmap.mmap:
    """Zeros. Where the system gives no file for them, only this process can read them."""
    size = _ROWS * _ROW_BYTES
    try:
        file = _new_file(f"{_NAME}-{os.getpid()}")  # it stays open as long as the process lives
        os.ftruncate(file, size)
    except (OSError, AttributeError):
        return mmap.mmap(-1, size)
    return mmap.mmap(file, size)


def _new_file(name: str) -> int:
    """An unnamed file. Some builds of Python lack the function; the C library may have it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name, os.MFD_CLOEXEC)
    file: int = ctypes.CDLL(None, use_errno=True).memfd_create(name.encode(), _MFD_CLOEXEC)
    if file < 0:
        raise OSError(ctypes.get_errno(), "memfd_create")
    return file


def _forget() -> None:
    """A fork counts its own. It keeps its parent's file open, whose name has another pid."""
    global _memory, _lock
    _counters.clear()
    _memory, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def launches(pid: int | None = None) -> dict[str, int]:
    """The launches of each kernel since a process started, by the kernel's id. `python -m normrope` prints them.

    The replay of a CUDA graph is none; what a graph captures is one.

    Args:
        pid: Another process of this user; default: this one.

    Raises:
        NormropeError: `invalid-argument`, if there is no such process, or it is another user's, or it has launched
            nothing.
    """
    if pid is None:
        return {name: counter[0] for name, counter in list(_counters.items())}  # another thread may add one
    if not isinstance(pid, int) or isinstance(pid, bool):
        raise invalid_argument("pid", pid, "a whole number")
    found = _read(pid)
    if found is None:
        fix = "Name a process of this user that has launched kernels; `python -m normrope` lists them"
        raise NormropeError("invalid-argument", f"pid is {pid}, a process without counts of launches", fix)
    return found


def all_launches() -> dict[int, dict[str, int]]:
    """The same of every process that has any and may be read, by pid."""
    pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid: found for pid in pids if (found := _read(pid)) is not None}


def _read(pid: int) -> dict[str, int] | None:
    process = Path("/proc", str(pid))
    try:
        own = re.search(r"^NSpid:.*\b(\d+)$", (process / "status").read_text(), re.MULTILINE)
        link = f"/memfd:{_NAME}-{own[1] if own else pid} "  # a process in a container has another pid there
        for file in (process / "fd").iterdir():
            if os.readlink(file).startswith(link):
                return _parse(file.read_bytes())
    except OSError:
        pass  # it is gone, or another user's
    return None


def _parse(memory: bytes) -> dict[str, int]:
    rows = (memory[start : start + _ROW_BYTES] for start in range(0, len(memory), _ROW_BYTES))
    pairs = ((row[_COUNT_BYTES:].rstrip(b"\0").decode(), int.from_bytes(row[:_COUNT_BYTES], "little")) for row in rows)
    return {name: count for name, count in pairs if name}
