"""What the manifest beside a library says: its ops, its kernels, and how it was built.

In: the path of a manifest.json. Out: typed values, or an error that says what is wrong with the file. Must not load a
library.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ._abi import ABI_VERSION, REBUILD
from ._op_rules import OpRules, listed
from ._point import Point, complete
from .errors import NormropeError, quoted

Target = Literal["cpu", "cuda"]

_NODE_ARCH = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Manifest:
    """A manifest of this version of the C interface."""

    path: Path
    #: The file but for `build`: a library holds the same.
    listing: dict[str, Any]
    #: Such as `normrope 0.1.0`.
    compiler: str
    #: By their names.
    ops: dict[str, OpRules]
    #: Rows of the listing: `id`, and what the kernel takes.
    kernels: dict[Point, dict[str, Any]]
    target: Target
    #: Architectures that a library for CUDA has code for, such as `sm_90`.
    archs: tuple[str, ...]
    #: As Node spells it.
    cpu_arch: str
    #: As /proc/cpuinfo spells them.
    cpu_features: tuple[str, ...]
    library_sha256: str

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises `library-not-found`, `library-invalid`."""
        text = read_bytes(path)
        try:
            listing = json.loads(text)
            version = listing["abi"]
            if version == ABI_VERSION:
                return cls._parsed(path, listing, listing.pop("build"))
        except (ValueError, KeyError, TypeError, AttributeError) as cause:
            message = f"{quoted(path)} is not a manifest of this version: {type(cause).__name__} {cause}"
            raise NormropeError("library-invalid", message, REBUILD) from cause
        message = f"{quoted(path)} is of version {version} of the C interface, and this is {ABI_VERSION}"
        raise NormropeError("library-invalid", message, REBUILD)

    @classmethod
    def _parsed(cls, path: Path, listing: dict[str, Any], build: dict[str, Any]) -> Manifest:
        inputs: dict[str, set[str]] = {op["name"]: set() for op in listing["ops"]}
        for kernel in listing["kernels"]:
            inputs[kernel["op"]].update(kernel["inputs"])
        ops = {op["name"]: OpRules.read(op, inputs[op["name"]]) for op in listing["ops"]}
        return cls(
            path=path,
            listing=listing,
            compiler=listing["compiler"],
            ops=ops,
            kernels={complete(kernel["point"], ops[kernel["op"]]): kernel for kernel in listing["kernels"]},
            target=build["target"],
            archs=tuple(build["archs"]),
            cpu_arch=build["cpuArch"],
            cpu_features=tuple(build["cpuFeatures"]),
            library_sha256=build["librarySha256"],
        )

    def cpu_lacks(self) -> str | None:
        """Why this CPU cannot execute the library; None if it can."""
        arch = _NODE_ARCH.get(platform.machine(), platform.machine())
        if self.cpu_arch != arch:
            return f"was built for {quoted(self.cpu_arch)}, and this is {arch}"
        known = Path("/proc/cpuinfo").read_text().split()
        missing = [feature for feature in self.cpu_features if feature not in known]
        if missing:
            return f"was built for instructions that this CPU lacks: {quoted(', '.join(missing))}"
        return None

    def runs_on(self, arch: str) -> Literal["code", "ptx"] | None:
        """What a CUDA device, such as `sm_90`, runs of the library; None if it can run nothing."""
        archs, device = [_arch_number(built) for built in self.archs], _arch_number(arch)
        if any(built // 10 == device // 10 and built <= device for built in archs):
            return "code"  # code for a major version runs on all later minor ones
        return "ptx" if archs and max(archs) <= device else None  # the newest is there as PTX too

    def has_op(self, op: OpRules) -> bool:
        """Whether there is an op of the same stages, under whatever name."""
        return any(own.stages == op.stages for own in self.ops.values())

    def require_op(self, op: OpRules, path: Path) -> None:
        """Raises `library-invalid` if the library at `path` has no such op."""
        if self.has_op(op):
            return
        message = f"{quoted(path)} holds {listed(tuple(self.ops))}, and no op that does what {op.name} does"
        fix = "Name a library that was built from the op of `normrope/dsl`; normrope.Op calls an op of your own"
        raise NormropeError("library-invalid", message, fix)


def _arch_number(arch: str) -> int:
    """90 for `sm_90`."""
    return int(arch.removeprefix("sm_"))


def read_bytes(path: Path) -> bytes:
    """A file of a built library. Raises `library-not-found`."""
    try:
        return path.read_bytes()
    except OSError as cause:
        message = f"{quoted(path)} cannot be read: {cause.strerror}"
        raise NormropeError("library-not-found", message, "Run `normrope build` to make it") from cause
