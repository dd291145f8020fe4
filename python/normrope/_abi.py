"""The C interface: structs and functions of generated/include/normrope.h, through ctypes.

In: the path of a shared library. Out: its functions with typed arguments, and statuses as errors. Knows nothing of
where libraries lie or whether one may be loaded: `_library` has seen to that.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_float, c_int, c_int32, c_int64, c_uint32, c_void_p
from typing import Any

from .errors import ErrorCode, NormropeError, quoted

#: Version of normrope.h: a library of another one is refused.
ABI_VERSION = 1


class Heads(ctypes.Structure):
    """`normrope_heads`: strides in elements."""

    _fields_ = [
        ("in_", c_void_p),
        ("out", c_void_p),
        ("weight", c_void_p),
        ("bias", c_void_p),
        ("in_token_stride", c_int64),
        ("in_head_stride", c_int64),
        ("out_token_stride", c_int64),
        ("out_head_stride", c_int64),
        ("weight_head_stride", c_int64),
        ("reserved", c_int64 * 2),
        ("num_heads", c_int32),
        ("reserved32", c_int32),
    ]


class Args(ctypes.Structure):
    """`normrope_args`."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("q", Heads),
        ("k", Heads),
        ("positions", c_void_p),
        ("rope_table", c_void_p),
        ("num_tokens", c_int64),
        ("position_bits", c_int32),
        ("eps", c_float),
        ("attention_factor", c_float),
        ("reserved32", c_int32),
    ]


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "abi": (c_int, []),
    "manifest": (c_char_p, []),
    "find": (c_int, [c_char_p]),
    "prepare": (c_int, [c_int]),
    "check": (c_int, [c_int, c_void_p]),
    "run": (c_int, [c_int, c_void_p, c_void_p]),
    "status_text": (c_char_p, [c_int]),
    "last_error": (c_char_p, []),
    "rope_table": (c_int, [c_void_p, c_int32, c_void_p]),
    "device_set": (c_int, [c_int]),
}

_ERRORS: dict[int, tuple[ErrorCode, str]] = {
    -1: ("invalid-argument", "Correct the argument"),
    -2: ("kernel-not-found", "`normrope list` shows the kernels"),
    -3: ("no-device", "Use the CPU, or see `normrope doctor`"),
    -4: ("out-of-memory", "Free tensors, or use smaller ones"),
}


class Functions:
    """The functions of a loaded library. What returns a number returns a status, 0 or negative."""

    abi: Any
    manifest: Any
    find: Any
    prepare: Any
    check: Any
    run: Any
    status_text: Any
    last_error: Any
    rope_table: Any
    device_set: Any

    def __init__(self, path: str) -> None:
        """Raises `library-invalid` where the file cannot be loaded, is of another version, or lacks a function."""
        try:
            library = ctypes.CDLL(path)
            self._bind(library, "abi")  # first: a library of another version may lack some of the others
            version = self.abi()
            if version == ABI_VERSION:
                for name in _SIGNATURES:
                    self._bind(library, name)
        except (OSError, AttributeError) as cause:
            message = f"{quoted(path)} cannot be loaded: {cause}"
            raise NormropeError("library-invalid", message, "Run `normrope build` to make it anew") from cause
        if version != ABI_VERSION:
            message = f"{quoted(path)} has version {version} of the C interface, and this is {ABI_VERSION}"
            raise NormropeError("library-invalid", message, "Run `normrope build` to make it anew")

    def _bind(self, library: ctypes.CDLL, name: str) -> None:
        function = getattr(library, f"normrope_{name}")
        function.restype, function.argtypes = _SIGNATURES[name]
        setattr(self, name, function)

    def require(self, status: int) -> None:
        """Raises for every status but 0, with the library's own account of it."""
        if status == 0:
            return
        code, fix = _ERRORS.get(status, ("device-error", "See the CUDA error"))
        text, last = self.status_text(status).decode(), self.last_error().decode(errors="replace")
        raise NormropeError(code, f"{text}: {last}", fix)
