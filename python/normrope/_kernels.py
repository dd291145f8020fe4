"""Which kernel a call runs: one of the named library, of this package's own, of the cache, or one that is compiled.

In: a point, a target, the device's architecture and the caller's `library`. Out: a kernel, or an error that says why
not and what would add it; and an op of the caller's own by its name. Answers are remembered, since a miss may take
seconds.
"""

from __future__ import annotations

import os
import threading

from ._jit import cached_library, compiled_library
from ._library import Kernel, Library, LibraryPath, bundled_library, named_library, require_library_path
from ._manifest import Target
from ._op_rules import OpRules
from ._point import Point
from .errors import NormropeError, quoted, show

_found: dict[tuple[object, ...], Kernel] = {}
#: One for each point, so that nobody waits while the kernel of another is compiled.
_locks: dict[Point, threading.Lock] = {}


def kernel_for(point: Point, target: Target, arch: str = "", library: LibraryPath = None) -> Kernel:
    """The kernel of a point. `arch` is the CUDA device's, such as `sm_90`.

    Raises `kernel-not-found`, `compile-failed`; for a named library `library-not-found`, `library-invalid`,
    `cpu-unsupported`.
    """
    require_library_path(library)
    key = (point, target, arch, library, os.environ.get("NORMROPE_LIBRARY"))
    if point.impossible is not None:
        return _find(point, target, arch, library)
    if key not in _found:
        with _locks.setdefault(point, threading.Lock()):
            if key not in _found:
                _found[key] = _find(point, target, arch, library)
    return _found[key]


def op_named(name: str, target: Target, library: LibraryPath = None) -> OpRules:
    """An op of the named library, of `./build`, or of the one that came with this package.

    Raises `kernel-not-found`, `library-not-found`, `library-invalid`, `cpu-unsupported`.
    """
    named, (bundled, unfit) = named_library(library, target), bundled_library(target, "")
    found = [each for each in (named, bundled) if each is not None]
    build = f"`normrope build --target {target}`"
    op = next((op for each in found if (op := each.op(name)) is not None), None)
    if op is not None:
        return op
    unfit = f"; {unfit}" if unfit else ""
    if not found:
        message = f"there is no library for {target} that could hold the op {show(name)}{unfit}"
        fix = f"Run {build} in this folder, or name a library: an op of your own is not compiled on first use"
        raise NormropeError("library-not-found", message, fix)
    message = f"{_shown(found)} no op {show(name)}{unfit}"
    whose, ops = "Its" if len(found) == 1 else "Their", ", ".join(own for each in found for own in each.manifest.ops)
    fix = f"{whose} ops are {ops}. Another is a space of normrope.config.ts more, and {build}"
    raise NormropeError("kernel-not-found", message, fix)


def _shown(libraries: list[Library]) -> str:
    paths = " and ".join(quoted(each.path) for each in libraries)
    return f"{paths} {'holds' if len(libraries) == 1 else 'hold'}"


def _find(point: Point, target: Target, arch: str, library: LibraryPath) -> Kernel:
    op, named = point.op, named_library(library, target)
    kernel = None if named is None else named.kernel(point)
    if kernel is not None:
        return kernel
    bundled, bundled_unfit = bundled_library(target, arch)
    kernel = None if bundled is None else bundled.kernel(point)
    if kernel is not None:
        return kernel
    found = [each for each in (named, bundled) if each is not None]
    if named is not None and not (bundled is not None and bundled.manifest.has_op(op)):
        named.manifest.require_op(op, named.path)
    who = f"{_shown(found)} no" if found else "no library holds a"
    reason = f"{who} kernel {'' if op.is_shipped else f'of {op.name} '}for {point}"
    if point.impossible is not None:
        raise NormropeError("kernel-not-found", reason, f"None can be made: {point.impossible}")
    reason += f"; {bundled_unfit}" if bundled_unfit else ""
    if not op.is_shipped:
        fix = f"{point.how_to_add}: an op of your own is not compiled on first use"
        raise NormropeError("kernel-not-found", reason, fix)
    cached, unfit = cached_library(point, target, arch)
    kernel = None if cached is None else cached.kernel(point)
    if kernel is not None:
        return kernel
    if unfit:
        reason += f"; not taken from the cache: {'; '.join(unfit)}"
    if os.environ.get("NORMROPE_JIT") == "0":
        raise NormropeError("kernel-not-found", reason, point.how_to_add)
    try:
        return compiled_library(point, target, arch).kernels[point]
    except NormropeError as error:
        raise NormropeError(error.code, f"{reason}; {error.message}", error.fix) from error
