"""Which kernel a call runs: of the library that was named, of the cache, or compiled for it.

In: a point, a target, the device's architecture and the caller's `library`. Out: a kernel, or an error that says why
not and what would add it. Answers are kept: a miss may take seconds, a hit a look into a dictionary.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

from ._jit import cached_library, compiled_library
from ._library import Library, Target, named_library
from ._point import Point
from .errors import NormropeError, invalid_argument, quoted

Place = str | os.PathLike[str] | None


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of a loaded library."""

    library: Library
    index: int
    id: str


_found: dict[tuple[object, ...], Kernel] = {}
#: By kernel id: who knows its kernel need not wait until another's is compiled.
_locks: dict[str, threading.Lock] = {}


def kernel_for(point: Point, target: Target, arch: str = "", library: Place = None) -> Kernel:
    """The kernel of a point. `arch` is the CUDA device's, such as `sm_90`.

    Raises `kernel-not-found`; `library-not-found`, `library-invalid`, `cpu-unsupported` of a library that was named.
    """
    if library is not None and not isinstance(library, (str, os.PathLike)):
        raise invalid_argument("library", library, "a path")
    key = (point, target, arch, library, os.environ.get("NORMROPE_LIBRARY"))
    if point.impossible is not None:
        return _find(point, target, arch, library)
    if key not in _found:
        with _locks.setdefault(point.kernel_id, threading.Lock()):
            if key not in _found:
                _found[key] = _find(point, target, arch, library)
    return _found[key]


def _find(point: Point, target: Target, arch: str, place: Place) -> Kernel:
    named = named_library(place, target)
    if named is not None and point.impossible is None and point in named.kernels:
        return _kernel_of(named, point)
    who = "no library holds a" if named is None else f"{quoted(named.path)} holds no"
    reason = f"{who} kernel for {point}"
    if point.impossible is not None:
        raise NormropeError("kernel-not-found", reason, f"None can be made: {point.impossible}")
    cached, unfit = cached_library(point, target, arch)
    if cached is not None:
        return _kernel_of(cached, point)
    if unfit:
        reason += f"; not taken from the cache: {'; '.join(unfit)}"
    if os.environ.get("NORMROPE_JIT") == "0":
        raise NormropeError("kernel-not-found", reason, point.how_to_add)
    try:
        return _kernel_of(compiled_library(point, target, arch), point)
    except NormropeError as error:
        raise NormropeError(error.code, f"{reason}; {error.message}", error.fix) from error


def _kernel_of(library: Library, point: Point) -> Kernel:
    index, kernel_id = library.kernels[point]
    return Kernel(library, index, kernel_id)
