"""Puts this op in the place of SGLang's.

In: the modules of sgl_kernel and SGLang that have `fused_qk_norm_rope`. Out: the same modules, and all that imported
the name from them, with the function of this package; and a way back. Must not import any other module.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ._fused import fused_qk_norm_rope
from .errors import NormropeError
from .support import can_use_fused_qk_norm_rope

#: Where the op has been, oldest first.
MODULES = (
    "sgl_kernel",
    "sgl_kernel.moe",
    "sglang.jit_kernel.fused_qknorm_rope",
    "sglang.kernels.ops.attention.fused_qknorm_rope",
)

_REPLACEMENTS: dict[str, Callable[..., Any]] = {
    "fused_qk_norm_rope": fused_qk_norm_rope,
    "can_use_fused_qk_norm_rope": can_use_fused_qk_norm_rope,
}

#: Each function that patches replace, with its replacement, by the function's id.
_replaced: dict[int, tuple[Any, Callable[..., Any]]] = {}


@dataclass(frozen=True)
class Patch:
    """What `patch_sglang` replaced."""

    #: Such as `sglang.srt.models.qwen3_moe.fused_qk_norm_rope`.
    replaced: tuple[str, ...]
    _undo: tuple[tuple[ModuleType, str, Any], ...]

    def undo(self) -> None:
        """Puts the originals back, except where somebody has put another function. A second call does nothing."""
        for module, name, original in self._undo:
            if getattr(module, name, None) in _REPLACEMENTS.values():
                setattr(module, name, original)


def patch_sglang() -> Patch:
    """Replaces SGLang's op and `can_use_fused_qk_norm_rope` in every loaded module that has them by name.

    A default argument, a closure or a partial keeps the original, so patch before models are made. A second call
    replaces what was imported since.

    Raises:
        NormropeError: `library-not-found`, if none of SGLang's modules can be imported, or none has the op.
    """
    modules, reasons = _import_modules()
    if not modules:
        fix = "Install sglang or sgl-kernel, and call it where they can be imported"
        raise NormropeError("library-not-found", f"there is no op to replace: {'; '.join(reasons)}", fix)
    for module in modules.values():
        for name, replacement in _REPLACEMENTS.items():
            original = getattr(module, name, None)
            if original is not None and original is not replacement:
                _replaced[id(original)] = original, replacement
    undo = tuple(_replace())
    if not any(getattr(module, "fused_qk_norm_rope", None) is fused_qk_norm_rope for module in modules.values()):
        fix = "Install a version of sglang or sgl-kernel that has the op"
        message = f"there is no fused_qk_norm_rope to replace in {', '.join(modules)}"
        raise NormropeError("library-not-found", message, fix)
    return Patch(tuple(f"{module.__name__}.{name}" for module, name, _ in undo), undo)


def _import_modules() -> tuple[dict[str, ModuleType], list[str]]:
    """SGLang's modules that can be imported, and why others cannot."""
    modules: dict[str, ModuleType] = {}
    reasons: list[str] = []
    for name in MODULES:
        try:
            modules[name] = importlib.import_module(name)
        except Exception as error:  # they load shared libraries, which may fail in any way
            reasons.append(f"{name}: {type(error).__name__}: {error}")
    return modules, reasons


def _replace() -> Iterator[tuple[ModuleType, str, Any]]:
    """Replaces in all loaded modules but this package's, and yields what it has replaced."""
    for path, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or path.partition(".")[0] == __package__:
            continue
        for name, value in list(vars(module).items()):
            original, replacement = _replaced.get(id(value), (None, None))
            if original is not None:
                setattr(module, name, replacement)
                yield module, name, original
