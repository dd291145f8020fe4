"""The door to shared libraries: finds one, checks all that loading cannot undo, loads it.

In: a place that the caller named, or none. Out: a loaded library with its ops, and its kernels by their points. The
checks are those of runtime/library.ts: the file is the one that its manifest describes, this CPU can execute it, the C
interface is this version's. Must not look into the cache: that is `_jit`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import stat
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ._abi import ABI_VERSION, Functions
from ._ops import SHIPPED, OpSpec, listed
from ._point import Point, complete
from ._trust import distrust
from .errors import NormropeError, quoted, show

Target = Literal["cpu", "cuda"]
LIBRARY_NAME = "libnormrope.so"

_REBUILD = "Run `normrope build` to make it anew"
_NODE_ARCH = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel of a loaded library."""

    functions: Functions
    index: int
    id: str
    #: What it is given, by the fields of `normrope_args`: `q.in`, `positions`.
    inputs: frozenset[str]


@dataclass(frozen=True, eq=False)
class Library:
    """A library that is loaded. It stays mapped until the process ends."""

    path: Path
    target: Target
    functions: Functions
    #: By their names.
    ops: dict[str, OpSpec]
    kernels: dict[Point, Kernel]

    def op(self, name: str) -> OpSpec | None:
        """The op of a name. The one that ships may have another name in a library: its stages tell."""
        if name in self.ops or name != SHIPPED.name:
            return self.ops.get(name)
        return next((replace(op, name=name) for op in self.ops.values() if op.stages == SHIPPED.stages), None)

    def kernel(self, point: Point) -> Kernel | None:
        """That of the point's op; of the one that ships under whatever name, as above."""
        ops = [point.op, *self.ops.values()] if point.op.is_shipped else [point.op]
        same = (replace(point, op=op) for op in ops if op.stages == point.op.stages)
        return next((self.kernels[own] for own in same if own in self.kernels), None)


_loaded: dict[Path, Library] = {}
_lock = threading.RLock()


def named_library(library: str | os.PathLike[str] | None, target: Target) -> Library | None:
    """The library of the place that the caller named: a file, or a folder that holds one for each target.

    That is the argument, else `NORMROPE_LIBRARY`, else `./build`, which need not be there: then None.
    Raises `library-not-found`, `library-invalid`, `cpu-unsupported`, `invalid-argument`.
    """
    name = library if library is not None else os.environ.get("NORMROPE_LIBRARY") or None
    if name is None:
        return _build_library(target)
    whose = "library" if library is not None else "NORMROPE_LIBRARY"
    try:
        place = Path(os.path.abspath(name))
    except FileNotFoundError as cause:
        message = f"{whose} is {show(str(name))}, and the working folder was removed"
        raise NormropeError("library-not-found", message, "Name it by its whole path") from cause
    path = place / target / LIBRARY_NAME if place.is_dir() else place
    if not path.exists():
        fix = f"Run `normrope build --target {target}`, or name another place"
        raise NormropeError("library-not-found", f"there is no {quoted(path)}", fix)
    loaded = load_library(path)
    if loaded.target == target:
        return loaded
    message = f"{whose} is {quoted(path)}, which was built for {loaded.target}, and this call needs {target}"
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


def load_library(path: Path) -> Library:
    """Loads a library whose manifest lies beside it, once for a path.

    Raises `library-not-found`, `library-invalid`, `cpu-unsupported`.
    """
    with _lock:
        if path not in _loaded:
            _loaded[path] = _load(path)
        return _loaded[path]


def _load(path: Path) -> Library:
    manifest_path = path.parent / "manifest.json"
    manifest = read_manifest(manifest_path)
    if hashlib.sha256(_read(path)).hexdigest() != manifest["build"]["librarySha256"]:
        message = f"{quoted(path)} is not the library that {quoted(manifest_path)} describes"
        raise NormropeError("library-invalid", message, _REBUILD)
    reason = cpu_lacks(manifest)
    if reason is not None:
        fix = "Run `normrope build --target cpu` on this machine"
        raise NormropeError("cpu-unsupported", f"{quoted(path)} {reason}", fix)
    functions = Functions(str(path))
    # A process keeps what it once loaded from a path, though a build may have replaced the file.
    own = json.loads(functions.manifest())
    if own != {key: value for key, value in manifest.items() if key != "build"}:
        message = f"{quoted(manifest_path)} lists other kernels than this process has loaded from {quoted(path)}"
        fix = "Start a new process if it was built anew since; otherwise run `normrope build`"
        raise NormropeError("library-invalid", message, fix)
    kernels = {
        point: Kernel(functions, functions.find(kernel["id"].encode()), kernel["id"], frozenset(kernel["inputs"]))
        for point, kernel in _kernels_of(own)
    }
    return Library(path, manifest["build"]["target"], functions, ops_of(own), kernels)


def read_manifest(path: Path) -> dict[str, Any]:
    """A built manifest. Raises `library-not-found`, `library-invalid`."""
    try:
        manifest: dict[str, Any] = json.loads(_read(path))
        build = manifest["build"]
        needed = [build[key] for key in ("target", "archs", "cpuFeatures", "cpuArch", "librarySha256")]
        version = manifest["abi"]
        needed += [manifest["compiler"], "".join([*build["archs"], *build["cpuFeatures"]])]  # texts all
        needed += [(kernel["id"], hash(point)) for point, kernel in _kernels_of(manifest)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        message = f"{quoted(path)} is not a manifest of this version: {type(cause).__name__} {cause}"
        raise NormropeError("library-invalid", message, _REBUILD) from cause
    if version != ABI_VERSION:
        message = f"{quoted(path)} is of version {version} of the C interface, and this is {ABI_VERSION}"
        raise NormropeError("library-invalid", message, _REBUILD)
    return manifest


def ops_of(manifest: dict[str, Any]) -> dict[str, OpSpec]:
    """The ops of a manifest, by their names."""
    inputs: dict[str, set[str]] = {op["name"]: set() for op in manifest["ops"]}
    for kernel in manifest["kernels"]:
        inputs[kernel["op"]].update(kernel["inputs"])
    return {op["name"]: OpSpec.read(op, inputs[op["name"]]) for op in manifest["ops"]}


def _kernels_of(manifest: dict[str, Any]) -> list[tuple[Point, dict[str, Any]]]:
    ops = ops_of(manifest)
    return [(complete(kernel["point"], ops[kernel["op"]]), kernel) for kernel in manifest["kernels"]]


def require_op(op: OpSpec, ops: dict[str, OpSpec], path: Path) -> None:
    """Raises `library-invalid` where an op is not among those of a library, whatever their names."""
    if any(own.stages == op.stages for own in ops.values()):
        return
    message = f"{quoted(path)} holds {listed(tuple(ops))}, and no op that is {op.described}"
    fix = "Name a library that was built from the op of `normrope/dsl`; normrope.Op calls an op of your own"
    raise NormropeError("library-invalid", message, fix)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        message = f"{quoted(path)} cannot be read: {cause.strerror}"
        raise NormropeError("library-not-found", message, "Run `normrope build` to make it") from cause


def cpu_lacks(manifest: dict[str, Any]) -> str | None:
    """Why this CPU cannot execute a library; None where it can."""
    build = manifest["build"]
    arch = _NODE_ARCH.get(platform.machine(), platform.machine())
    if build["cpuArch"] != arch:
        return f"was built for {quoted(build['cpuArch'])}, and this is {arch}"
    missing = [feature for feature in build["cpuFeatures"] if feature not in _cpu_features()]
    if missing:
        return f"was built for instructions that this CPU lacks: {quoted(', '.join(missing))}"
    return None


def _cpu_features() -> set[str]:
    """In the spelling of /proc/cpuinfo."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return set() if flags is None else set(flags[1].split())
