"""Kernels beyond those of a built library: found in the per-user cache, or compiled into it by `normrope cache add`.

In: a point, a target and, for CUDA, the architecture of the device. Out: a loaded library that holds the kernel, or the
reasons why there is none. No other file knows how the command is called, or how the cache lies:
`<root>/jit/<kernel id>/<64 hex digits>/` is a whole library with that one kernel.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import stat
import subprocess
import time
from pathlib import Path

from ._library import LIBRARY_NAME, Library, load_library
from ._manifest import Manifest, Target
from ._point import Point
from ._trust import distrust, distrust_above
from ._version import __version__
from .errors import ErrorCode, NormropeError, quoted

_OURS = f"normrope {__version__}"
_ENTRY = re.compile(r"[0-9a-f]{64}")

#: nvcc takes seconds for a kernel. A command that takes this long hangs.
_COMMAND_TIMEOUT_S = 900

#: A model asks for each of its layers, and once is enough. The cause may be mended later.
_FAILURE_KEPT_S = 60

#: What a command said in an environment, and when.
_failures: dict[tuple[object, ...], tuple[float, str]] = {}


def cached_library(point: Point, target: Target, arch: str) -> tuple[Library | None, list[str]]:
    """A library of the cache that this machine can run, and why others for the point cannot be.

    `arch` is the device's, such as `sm_90`; empty for the CPU. Code for the device is preferred to PTX.
    """
    fit: list[tuple[bool, Path]] = []
    unfit: list[str] = []
    for root in _roots():
        try:
            entries = _entries(root, point.kernel_id)
        except OSError as reason:
            unfit.append(f"{quoted(root)} cannot be read: {reason.strerror}")
            continue
        for entry in entries:
            try:
                fit.append((_needs_ptx(root, entry, point, target, arch), entry))
            except (_Unfit, NormropeError, OSError, ValueError) as reason:
                unfit.append(f"{entry}: {reason}")
    for _, entry in sorted(fit, key=lambda found: found[0]):
        try:
            return load_library(entry / LIBRARY_NAME), unfit
        except NormropeError as reason:
            unfit.append(f"{entry}: {reason}")
    return None, unfit


def compiled_library(point: Point, target: Target, arch: str) -> Library:
    """Has the command compile a kernel into the cache.

    Raises `kernel-not-found` if there is no command or no compiler, `compile-failed` with what the command says.
    """
    call = ["cache", "add", point.kernel_id, "--target", target, *(["--arch", arch] if arch else []), "--json"]
    shown = f"`normrope {' '.join(call)}`"
    command = _command()
    if command is None:
        install = f"Run {shown} where Node and normrope are installed. Or: {point.how_to_add}"
        raise NormropeError("kernel-not-found", "there is no command `normrope` here to compile one", install)
    key = (*command, *call, frozenset(os.environ.items()))
    failed_at, said = _failures.get(key, (-math.inf, ""))
    if time.monotonic() - failed_at > _FAILURE_KEPT_S:
        answer = _run([*command, *call])
        if isinstance(answer, Path):
            return load_library(answer)
        said = answer
        _failures[key] = time.monotonic(), said
    fix = re.search(r"^\s*fix: (.)(.*)$", said, re.MULTILINE)
    message = f"{shown} failed: {said.strip() or 'it said nothing'}"
    code: ErrorCode = "compile-failed" if said.startswith("error [compile-") else "kernel-not-found"
    raise NormropeError(code, message, fix[1].upper() + fix[2] if fix else point.how_to_add)


def _run(command: list[str]) -> Path | str:
    """The library that the command made, or what it complained of."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False)
        if done.returncode != 0:
            return done.stderr or done.stdout
        return Path(json.loads(done.stdout)["library"])
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def _command() -> list[str] | None:
    """`NORMROPE_COMMAND`, else `normrope` on PATH, else the one in the working folder's node_modules, else that of the
    checkout that this package lies in. All but the first need Node."""
    named = os.environ.get("NORMROPE_COMMAND")
    if named:
        return [named] if os.path.isfile(named) else shlex.split(named) or None
    node = shutil.which("node")
    if node is None:
        return None
    on_path = shutil.which("normrope")
    if on_path is not None:
        return [on_path]
    installed = Path("node_modules", ".bin", "normrope")
    if installed.exists():
        return [_trusted(installed.absolute())]
    own = Path(__file__).resolve().parents[2] / "dist" / "generator" / "cli.js"
    return [node, str(own)] if own.exists() else None


def _trusted(installed: Path) -> str:
    """The command, if nobody else could have put it there. Raises `kernel-not-found`."""
    real, modules = installed.resolve(), installed.parent.parent
    inside = [folder for folder in real.parents if folder.is_relative_to(modules.resolve())]
    # The group of a user's folders is often the user's own, so only what everybody may write to is refused.
    reason = distrust(modules, installed.parent, real.parent, *inside, real, writable=stat.S_IWOTH)
    reason = reason or distrust_above(modules) or distrust_above(real)
    if reason is None:
        return str(installed)
    message = f"{quoted(installed)} is not to be trusted, because {reason}"
    raise NormropeError("kernel-not-found", message, "Name it with NORMROPE_COMMAND to use it nevertheless")


def _roots() -> list[Path]:
    """The user's own, then the read-only ones."""
    env = os.environ
    if env.get("NORMROPE_CACHE_DIR"):
        own = [env["NORMROPE_CACHE_DIR"]]
    else:
        home = env.get("XDG_CACHE_HOME", "")
        temporary = env.get("TMPDIR") or env.get("TMP") or env.get("TEMP") or "/tmp"
        own = [f"{home}/normrope"] if os.path.isabs(home) else []
        own += [os.path.expanduser("~/.cache/normrope"), f"{temporary}/normrope-{os.getuid()}"]
    folders = [*own, *env.get("NORMROPE_CACHE_READONLY", "").split(":")]
    return list(dict.fromkeys(Path(os.path.abspath(folder)) for folder in folders if folder))


def _entries(root: Path, kernel_id: str) -> list[Path]:
    """Raises OSError if there is something that cannot be read."""
    folder = Path(os.path.realpath(root), "jit", kernel_id)  # links are followed once
    try:
        return sorted(entry for entry in folder.iterdir() if _ENTRY.fullmatch(entry.name))
    except FileNotFoundError:
        return []


class _Unfit(Exception):
    """Why an entry cannot be loaded here."""


def _needs_ptx(root: Path, entry: Path, point: Point, target: Target, arch: str) -> bool:
    """Whether the device would run PTX of an entry rather than code of its own. Raises if it can run neither."""
    real = root.resolve()
    ours = (real, real / "jit", entry.parent, entry, entry / LIBRARY_NAME, entry / "manifest.json")
    reason = distrust(*ours) or distrust_above(real)
    if reason is not None:
        raise _Unfit(f"not to be trusted, because {reason}")
    manifest = Manifest.read(entry / "manifest.json")
    manifest.require_op(point.op, entry)
    for is_unfit, why in (
        (manifest.target != target, f"built for {manifest.target}"),
        (manifest.compiler != _OURS, f"built by {manifest.compiler}, and this is {_OURS}"),
        (list(manifest.kernels) != [point], "holds another kernel"),
    ):
        if is_unfit:
            raise _Unfit(why)
    lacks = manifest.cpu_lacks()
    if lacks is not None:
        raise _Unfit(lacks)
    if target == "cpu":
        return False
    runs = manifest.runs_on(arch)
    if runs is None:
        raise _Unfit(f"has code for {', '.join(manifest.archs)}, and this is {arch}")
    return runs == "ptx"
