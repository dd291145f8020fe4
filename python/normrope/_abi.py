"""The C interface: structs and functions of generated/include/normrope.h, through ctypes.

In: the path of a shared library. Out: its functions with typed arguments, and statuses as errors. Must not decide
whether a library may be loaded: `_library` does.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from ctypes import c_char_p, c_float, c_int, c_int64, c_uint32, c_void_p
from typing import Any

from ._inputs import SIDES, TABLE
from .errors import ErrorCode, NormropeError, quoted, unfit_argument

#: Version of normrope.h. A library of another version is refused.
ABI_VERSION = 2

REBUILD = "Run `normrope build` to make it anew"

_C_TYPES: dict[str, Any] = {"int64_t": c_int64, "uint32_t": c_uint32, "float": c_float}


def _fields(inputs: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Fields as ctypes takes them. `in` is a word of Python's, so the field is `in_`."""
    types = [(field["name"], _C_TYPES.get(field["type"], c_void_p), field.get("count", 1)) for field in inputs]
    return [("in_" if name == "in" else name, type_ * count if count > 1 else type_) for name, type_, count in types]


class Heads(ctypes.Structure):
    """`normrope_heads`."""

    _fields_ = _fields(TABLE["heads"])


class Args(ctypes.Structure):
    """`normrope_args`."""

    _fields_ = [
        *_fields(TABLE["before"]),
        *((side, Heads) for side in SIDES),
        *_fields(TABLE["behind"]),
    ]


#: The field of a side, in a text.
_PATH = re.compile(rf"\b[{''.join(SIDES)}]\.[a-z_]+")

_KINDS: dict[str, Any] = {"int": c_int, "text": c_char_p, "pointer": c_void_p}
_INVALID_ARGUMENT = -1

_ERRORS: dict[int, tuple[ErrorCode, str]] = {
    _INVALID_ARGUMENT: ("invalid-argument", "Correct the argument"),
    -2: ("kernel-not-found", "`normrope list` shows the kernels"),
    -3: ("no-device", "Use the CPU, or see `normrope doctor`"),
    -4: ("out-of-memory", "Free tensors, or use smaller ones"),
}


class Functions:
    """The functions of a loaded library. Those that return a number return a status, 0 or negative."""

    abi: Any
    manifest: Any
    find: Any
    prepare: Any
    check: Any
    run: Any
    status_text: Any
    last_error: Any
    last_error_field: Any
    last_error_value: Any
    last_error_wanted: Any
    rope_table: Any
    device_set: Any

    def __init__(self, path: str) -> None:
        """Raises `library-invalid` if the file cannot be loaded, is of another version, or lacks a function."""
        try:
            library = ctypes.CDLL(path)
            self._bind(library, "abi")  # first: a library of another version may lack other functions
            version = self.abi()
            if version == ABI_VERSION:
                for name in Functions.__annotations__:
                    self._bind(library, name)
        except (OSError, AttributeError) as cause:
            message = f"{quoted(path)} cannot be loaded: {cause}"
            raise NormropeError("library-invalid", message, REBUILD) from cause
        if version != ABI_VERSION:
            message = f"{quoted(path)} has version {version} of the C interface, and this is {ABI_VERSION}"
            raise NormropeError("library-invalid", message, REBUILD)

    def _bind(self, library: ctypes.CDLL, name: str) -> None:
        function = getattr(library, f"normrope_{name}")
        function.restype, *function.argtypes = [_KINDS[kind] for kind in TABLE["functions"][name]]
        setattr(self, name, function)

    def require(self, status: int, names: Callable[[str], str] | None = None) -> None:
        """Raises for every status but 0, in the library's words. `names` tells what the caller calls a field of the
        arguments; NULL is then None."""
        if status == 0:
            return
        field = self.last_error_field().decode(errors="replace")
        if status == _INVALID_ARGUMENT and field:
            value, wanted = self.last_error_value().decode(), self.last_error_wanted().decode()
            if names is not None:
                called: Callable[[str], str] = names
                field, value = called(field), "None" if value == "NULL" else value
                wanted = _PATH.sub(lambda path: called(path[0]), wanted)
            raise unfit_argument(field, value, wanted)
        code, fix = _ERRORS.get(status, ("device-error", "See the CUDA error"))
        text, last = self.status_text(status).decode(), self.last_error().decode(errors="replace")
        raise NormropeError(code, f"{text}: {last}", fix)
