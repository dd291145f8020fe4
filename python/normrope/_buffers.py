"""The op on plain buffers of the host, with the CPU library: array.array, numpy arrays, memoryviews, ctypes arrays.

In: objects with the buffer protocol. Out: one run. Nothing is copied, and nothing is kept of what the caller
passes. Knows neither torch nor numpy.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ._call import pack
from ._kernels import kernel_for
from ._match import Form, raise_unless
from ._memory import Memory
from ._point import dtype_name
from .errors import NormropeError, invalid_argument, renaming, show, unfit_argument

#: Sixteen-bit floats: of those in `H`, bit patterns, the caller says which they are.
_FLOATS = {"H": None, "e": "f16"}
_OTHERS = {("i", 4): "int32", ("l", 8): "int64", ("q", 8): "int64", ("l", 4): "int32", ("f", 4): "float32"} | {
    (code, 8): "uint64" for code in "LQ"
}

_FORMAT_AND_STRIDES = 0x0004 | 0x0018  # PyBUF_FORMAT | PyBUF_STRIDES


class _PyBuffer(ctypes.Structure):
    """`Py_buffer` of CPython."""

    _fields_ = [
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
        ("strides", ctypes.POINTER(ctypes.c_ssize_t)),
        ("suboffsets", ctypes.POINTER(ctypes.c_ssize_t)),
        ("internal", ctypes.c_void_p),
    ]


def run_on_buffers(form: Form, values: Sequence[Any], options: tuple[Any, ...], dtype: object) -> None:
    """`values` are buffers by the names of `form`, and None for what there is not."""
    with ExitStack() as held, renaming(form.renames):
        memories: dict[str, Memory] = {}
        addresses = [0] * len(values)
        for source, (name, value) in enumerate(zip(form.names, values, strict=True)):
            if value is None:
                continue
            view, own = held.enter_context(_viewed(name, value))
            memories[name] = _memory_of(name, view, dtype, own, source)
            addresses[source] = view.buf or 0
        matched = form.match(memories, options, raise_unless)
        kernel = kernel_for(matched.point, "cpu", library=matched.library)
        functions = kernel.functions
        call = pack(matched, kernel.inputs)
        table = None if matched.table is None else matched.table.on("cpu", functions)
        if table is not None:
            call.set_table(ctypes.addressof(table))
        call.bound(functions, kernel.index)(addresses, None)


@contextmanager
def _viewed(name: str, value: Any) -> Iterator[tuple[_PyBuffer, str | None]]:
    """A buffer, which cannot move or go until the block ends, and what its owner says that it is, where that tells more
    than the buffer does. Raises `invalid-argument`."""
    own = None
    if getattr(getattr(value, "dtype", None), "name", None) == "bfloat16":
        own, value = "bf16", value.view("uint16")  # numpy's buffers cannot tell of ml_dtypes' types
    view = _PyBuffer()
    try:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(value), ctypes.byref(view), _FORMAT_AND_STRIDES)
    except (TypeError, ValueError, BufferError) as cause:
        raise invalid_argument(name, value, "a buffer, such as an array.array or a numpy array") from cause
    try:
        yield view, own
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))


def _memory_of(name: str, view: _PyBuffer, dtype: object, own: str | None, source: int) -> Memory:
    code = (view.format or b"B").decode().lstrip("@=<")
    if code in _FLOATS:
        element = own or _FLOATS[code] or _named_dtype(dtype)
        if dtype is not None and dtype_name(dtype) != element:
            raise unfit_argument("dtype", show(dtype), f"{element}, as {name} is, or left out")
    else:
        element = _OTHERS.get((code, view.itemsize), f"type {show(code)}")
    shape = tuple(view.shape[i] for i in range(view.ndim))
    size = view.itemsize or 1  # 0 of numpy's V0
    strides = tuple(view.strides[i] for i in range(view.ndim)) if view.strides else _contiguous(shape, size)
    if any(stride % size for stride in strides):
        raise unfit_argument(name, f"a buffer with strides of {list(strides)} bytes", "of whole elements")
    in_elements = tuple(stride // size for stride in strides)
    return Memory("buffer", element, shape, in_elements, source, is_read_only=bool(view.readonly))


def _contiguous(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """The strides that a buffer leaves out, as those of ctypes do."""
    return tuple(size * math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _named_dtype(dtype: object) -> str:
    if dtype is None:
        fix = 'Say `dtype="bf16"` or `dtype="f16"`'
        raise NormropeError("invalid-argument", "dtype is None, and bit patterns do not tell what they are", fix)
    name = dtype_name(dtype)
    if name in ("bf16", "f16"):
        return name
    raise invalid_argument("dtype", dtype, '"bf16" or "f16"')
