"""Puts functions of this package in the place of others, in all modules that have them by name.

In: modules, names in them, and the functions that take over. Out: what was replaced, and a way back. A call that this
package refuses goes to the other function: a program that works without normrope works with it. Knows no project.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ._dispatch import find_torch_op
from .errors import NormropeError

log = logging.getLogger(__package__)

#: Makes the function that takes the place of another.
Replace = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Patch:
    """What was replaced."""

    #: Such as `sglang.srt.models.qwen3_moe.fused_qk_norm_rope`.
    replaced: tuple[str, ...]
    _undo: tuple[Callable[[], None], ...]

    def __add__(self, other: Patch) -> Patch:
        return Patch(self.replaced + other.replaced, self._undo + other._undo)

    def undo(self) -> None:
        """Puts the originals back, except where somebody has put another function. A second call does nothing."""
        for undo in self._undo:
            undo()


#: Each function that was replaced, with its replacement, by the function's id.
_replaced: dict[int, tuple[Any, Callable[..., Any]]] = {}


def replace_in_modules(modules: Mapping[str, ModuleType], replacements: Mapping[str, Replace]) -> Patch:
    """Replaces functions of modules, and wherever else a loaded module has them by name."""
    made = {id(replacement) for _, replacement in _replaced.values()}
    for module in modules.values():
        for name, replace in replacements.items():
            original = getattr(module, name, None)
            if original is not None and id(original) not in _replaced and id(original) not in made:
                _replaced[id(original)] = original, replace(original)
    found = tuple(_replace_all())
    return Patch(
        tuple(f"{module.__name__}.{name}" for module, name, _ in found),
        tuple(functools.partial(_put_back, *each) for each in found),
    )


def _replace_all() -> Iterator[tuple[ModuleType, str, Any]]:
    """Replaces in all loaded modules but this package's, and yields what it has replaced."""
    for path, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or path.partition(".")[0] == __package__:
            continue
        for name, value in list(vars(module).items()):
            original, replacement = _replaced.get(id(value), (None, None))
            if original is not None:
                setattr(module, name, replacement)
                yield module, name, original


def _put_back(module: ModuleType, name: str, original: Any) -> None:
    if getattr(module, name, None) is _replaced[id(original)][1]:
        setattr(module, name, original)


#: Registrations that take the place of others as long as they live, by the op's qualified name.
_overriding: dict[str, Any] = {}


def override_op(name: str, ours: Callable[..., Any]) -> Patch | None:
    """Replaces what an op of torch, such as `_C::fused_qk_norm_rope`, runs on CUDA, once. The op stays the same, so
    whoever holds it calls the replacement. None if there is no such op."""
    import torch

    namespace, _, op = name.partition("::")
    if not hasattr(getattr(torch.ops, namespace), op):
        return None
    if name in _overriding:
        return Patch((), ())
    # Some torch cannot tell what an op ran before: then a call that ours refuses is an error.
    get_kernel = getattr(torch.library, "get_kernel", None)
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    original = None if get_kernel is None else functools.partial(get_kernel(name, "CUDA").call_boxed, keys)
    library = torch.library.Library(namespace, "IMPL")
    may_override = "allow_override" in inspect.signature(library.impl).parameters
    replacement = ours if original is None else or_original(ours, _always)(original)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what is meant here
        library.impl(op, replacement, "CUDA", **({"allow_override": True} if may_override else {}))
    _overriding[name] = library
    return Patch((f"torch.ops.{namespace}.{op}",), (functools.partial(_stop_overriding, name),))


def _always(_: Mapping[str, Any]) -> bool:
    """A trace does not see into an op."""
    return True


def _stop_overriding(name: str) -> None:
    library = _overriding.pop(name, None)
    if library is not None:
        library._destroy()


def import_modules(names: Iterable[str]) -> tuple[dict[str, ModuleType], list[str]]:
    """The modules that can be imported, and why others cannot."""
    modules: dict[str, ModuleType] = {}
    reasons: list[str] = []
    for name in names:
        try:
            modules[name] = importlib.import_module(name)
        except Exception as error:  # they load shared libraries, which may fail in any way
            reasons.append(f"{name}: {type(error).__name__}: {error}")
    return modules, reasons


#: Errors that come again whatever tensors a call has.
_LASTING = {"kernel-not-found", "compile-failed", "library-not-found", "library-invalid", "cpu-unsupported"}


def or_original(ours: Callable[..., Any], has_kernel: Callable[[Mapping[str, Any]], bool]) -> Replace:
    """A function that is ours, and the original for calls that ours refuses.

    A compiled function cannot go back. So `has_kernel`, with a call's arguments by name, tells a trace which to take.
    """
    names = tuple(inspect.signature(ours).parameters)

    def replace(original: Callable[..., Any]) -> Callable[..., Any]:
        lasting: set[tuple[Any, ...]] = set()
        said: set[tuple[Any, ...]] = set()

        @functools.wraps(ours)
        def run(*given: Any, **named: Any) -> Any:
            op = find_torch_op()
            if op is not None and op.is_compiling():
                call = {**dict(zip(names, given, strict=False)), **named}
                return (ours if has_kernel(call) else original)(*given, **named)
            if not lasting or _look(given, named) not in lasting:
                try:
                    return ours(*given, **named)
                except NormropeError as error:  # nothing was launched or written
                    if error.code in _LASTING:
                        lasting.add(_look(given, named))
                    reason = (error.code, error.field or error.message)
                    if reason not in said:
                        said.add(reason)
                        log.warning("%s: the original runs instead: %s", ours.__name__, error)
            return original(*given, **named)

        return run

    return replace


def _look(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """What decides which kernel a call needs: numbers, dtypes, and sizes but for the number of tokens."""
    return tuple(_look_of(value) for value in (*given, *named, *named.values()))


def _look_of(value: Any) -> Any:
    dtype, shape = str(getattr(value, "dtype", "")), tuple(getattr(value, "shape", ()))
    if dtype == "":
        return repr(value)
    # Positions and slots have a number for each token; rows of heads have one row.
    sizes = len(shape) if "int" in dtype else shape[len(shape) > 1 :]
    return dtype, sizes, str(getattr(value, "device", ""))
