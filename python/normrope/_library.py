"""The door to shared libraries: finds one, checks it, loads it.

In: a path that the caller named, or none. Out: a loaded library with its kernels by point. The checks are those of
runtime/library.ts: the file is the one that its manifest describes, this CPU can execute it, the C interface is this
version's. Must not look into the cache: `_jit` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from ._abi import REBUILD, Functions
from ._manifest import Manifest, Target, read_bytes
from ._op_rules import SHIPPED, OpRules
from ._point import Point
from ._stages import Taken
from ._trust import distrust
from .errors import NormropeError, invalid_argument, quoted

LIBRARY_NAME = "libnormrope.so"

#: Where a wheel has its library.
_BUNDLED = Path(__file__).with_name("library")

#: A library file, or a folder that holds one for each target.
LibraryPath = str | os.PathLike[str] | None


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of a loaded library."""

    functions: Functions
    index: int
    id: str
    takes: Taken


@dataclass(frozen=True, eq=False)
class Library:
    """A library that is loaded. It stays mapped until the process ends."""

    path: Path
    manifest: Manifest
    functions: Functions
    kernels: dict[Point, Kernel]

    def op(self, name: str) -> OpRules | None:
        """The op of a name. The op that ships may have another name in a library; its stages tell."""
        ops = self.manifest.ops
        if name in ops or name != SHIPPED.name:
            return ops.get(name)
        return next((replace(op, name=name) for op in ops.values() if op.stages == SHIPPED.stages), None)

    def kernel(self, point: Point) -> Kernel | None:
        """The kernel of a point. That of the op that ships may be under another name."""
        if point.impossible is not None:  # its values may be anything
            return None
        ops = [point.op, *self.manifest.ops.values()] if point.op.is_shipped else [point.op]
        same = (replace(point, op=op) for op in ops if op.stages == point.op.stages)
        return next((self.kernels[own] for own in same if own in self.kernels), None)


def require_library_path(library: object) -> None:
    if library is not None and not isinstance(library, (str, os.PathLike)):
        raise invalid_argument("library", library, "a path")


_loaded: dict[Path, Library] = {}
_lock = threading.RLock()


def named_library(library: LibraryPath, target: Target) -> Library | None:
    """The library that the argument names, else `NORMROPE_LIBRARY`, else `./build`. None if that is not there.

    Raises `library-not-found`, `library-invalid`, `cpu-unsupported`, `invalid-argument`.
    """
    name = library if library is not None else os.environ.get("NORMROPE_LIBRARY") or None
    if name is None:
        return _build_library(target)
    whose = "library" if library is not None else "NORMROPE_LIBRARY"
    named = Path(os.path.abspath(name))
    path = named / target / LIBRARY_NAME if named.is_dir() else named
    if not path.exists():
        fix = f"Run `normrope build --target {target}`, or name another place"
        raise NormropeError("library-not-found", f"there is no {quoted(path)}", fix)
    loaded = load_library(path)
    if loaded.manifest.target == target:
        return loaded
    message = f"{whose} is {quoted(path)}, which was built for {loaded.manifest.target}, and this call needs {target}"
    raise NormropeError("invalid-argument", message, "Name a folder that holds one for each target, as `build` does")


def _build_library(target: Target) -> Library | None:
    relative = Path("build", target, LIBRARY_NAME)
    if not relative.exists():
        return None
    path = relative.absolute()
    if path not in _loaded:
        # The group of a user's folders is often the user's own, so only what everybody may write to is refused.
        reason = distrust(path, path.parent, path.parent.parent, writable=stat.S_IWOTH)
        if reason is not None:
            message = f"{quoted(path)} is not to be trusted, because {reason}"
            fix = "Name it with NORMROPE_LIBRARY to use it nevertheless"
            raise NormropeError("library-invalid", message, fix)
    return load_library(path)


def bundled_library(target: Target, arch: str) -> tuple[Library | None, str]:
    """The library that came in the wheel of this package, as `normrope wheel` makes it. Or None, and why this machine
    cannot use it: empty if there is none. `arch` is the device's, if it is known."""
    path = _BUNDLED / target / LIBRARY_NAME
    if not path.exists():
        return None, ""
    try:
        library = load_library(path)
    except NormropeError as error:
        return None, error.message
    if arch and library.manifest.runs_on(arch) is None:
        return None, f"{quoted(path)} has code for {', '.join(library.manifest.archs)}, and this is {arch}"
    return library, ""


def load_library(path: Path) -> Library:
    """Loads a library whose manifest lies beside it, once for a path.

    Raises `library-not-found`, `library-invalid`, `cpu-unsupported`.
    """
    with _lock:
        if path not in _loaded:
            _loaded[path] = _load(path)
        return _loaded[path]


def _load(path: Path) -> Library:
    manifest = Manifest.read(path.parent / "manifest.json")
    if hashlib.sha256(read_bytes(path)).hexdigest() != manifest.library_sha256:
        message = f"{quoted(path)} is not the library that {quoted(manifest.path)} describes"
        raise NormropeError("library-invalid", message, REBUILD)
    reason = manifest.cpu_lacks()
    if reason is not None:
        fix = "Run `normrope build --target cpu` on this machine"
        raise NormropeError("cpu-unsupported", f"{quoted(path)} {reason}", fix)
    functions = Functions(str(path))
    # A process keeps what it once loaded from a path, though a build may have replaced the file.
    if json.loads(functions.manifest()) != manifest.listing:
        message = f"{quoted(manifest.path)} lists other kernels than this process has loaded from {quoted(path)}"
        fix = "Start a new process if it was built anew since; otherwise run `normrope build`"
        raise NormropeError("library-invalid", message, fix)
    kernels = {
        point: Kernel(functions, functions.find(row["id"].encode()), row["id"], Taken.read(row))
        for point, row in manifest.kernels.items()
    }
    return Library(path, manifest, functions, kernels)
