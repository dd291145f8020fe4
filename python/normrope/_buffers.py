"""The op on plain buffers of the host, with the CPU library: array.array, numpy arrays, memoryviews, ctypes arrays.

In: objects with the buffer protocol. Out: one run, in place. Nothing is copied, and nothing is kept of what the caller
passes. Knows neither torch nor numpy.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ._abi import Functions
from ._call import Memory, Numbers, caller_field, pack, require_sizes
from ._kernels import Place, kernel_for
from ._point import dtype_name
from ._rope import Rope, Table, Tables, turns_of
from .errors import NormropeError, invalid_argument, show, unfit_argument

#: Sixteen-bit floats: of those in `H`, bit patterns, the caller says which they are.
_FLOATS = {"H": None, "e": "f16"}
_INTEGERS = {("i", 4): "int32", ("l", 8): "int64", ("q", 8): "int64", ("l", 4): "int32"}

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


def run_on_buffers(
    numbers: Numbers,
    qkv: object,
    q_weight: object,
    k_weight: object,
    position_ids: object,
    dtype: object,
    library: Place,
) -> None:
    with ExitStack() as held:
        packed = held.enter_context(_viewed("qkv", qkv, dtype, writable=True))
        q, k = (
            held.enter_context(_viewed(name, weight, dtype))
            for name, weight in (("q_weight", q_weight), ("k_weight", k_weight))
        )
        positions = held.enter_context(_viewed("position_ids", position_ids, dtype))
        if packed.dtype not in ("bf16", "f16"):
            raise unfit_argument("qkv", f"a buffer of {packed.dtype}", "of bf16 or f16")
        kernel = kernel_for(numbers.point(packed.dtype), "cpu", library=library)
        require_sizes(numbers, packed, q, k, positions)
        functions = kernel.library.functions
        table = host_tables.get(numbers.rope(), "cpu", functions)
        memory = table.memory  # kept while the call reads it
        args = pack(numbers, packed, q, k, positions, table)
        functions.require(functions.run(kernel.index, ctypes.byref(args), None), caller_field)
        del memory


def _host_table(rope: Rope, _device: str, functions: Functions) -> Table:
    turns = turns_of(rope, functions)
    return Table(ctypes.addressof(turns), turns)


#: Of the CPU, for tensors there too: whoever runs holds the memory, so there is nothing to wait for.
host_tables = Tables(_host_table, lambda _table, _memory: None)


@contextmanager
def _viewed(name: str, value: Any, dtype: object, writable: bool = False) -> Iterator[Memory]:
    """The memory of a buffer, which cannot move or go until the block ends. Raises `invalid-argument`."""
    own = None
    if getattr(getattr(value, "dtype", None), "name", None) == "bfloat16":
        own, value = "bf16", value.view("uint16")  # numpy's buffers cannot tell of ml_dtypes' types
    view = _PyBuffer()
    try:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(value), ctypes.byref(view), _FORMAT_AND_STRIDES)
    except (TypeError, ValueError, BufferError) as cause:
        raise invalid_argument(name, value, "a buffer, such as an array.array or a numpy array") from cause
    try:
        if writable and view.readonly:
            raise unfit_argument(name, "a buffer that is read-only", "one that can be written")
        yield _memory_of(name, view, dtype, own)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(view))


def _memory_of(name: str, view: _PyBuffer, dtype: object, own: str | None) -> Memory:
    """`own` is what its owner says it is, where that tells more than the buffer does."""
    code = (view.format or b"B").decode().lstrip("@=<")
    if code in _FLOATS:
        element = own or _FLOATS[code] or _named_dtype(dtype)
        if dtype is not None and dtype_name(dtype) != element:
            raise unfit_argument("dtype", show(dtype), f"{element}, as {name} is, or left out")
    else:
        element = _INTEGERS.get((code, view.itemsize), f"type {show(code)}")
    shape = tuple(view.shape[i] for i in range(view.ndim))
    size = view.itemsize or 1  # 0 of numpy's V0
    strides = tuple(view.strides[i] for i in range(view.ndim)) if view.strides else _contiguous(shape, size)
    if len(shape) not in (1, 2):
        raise unfit_argument(name, f"a buffer of shape {list(shape)}", "of rank 1, or 2 for rows")
    if any(stride % size for stride in strides):
        raise unfit_argument(name, f"a buffer with strides of {list(strides)} bytes", "of whole elements")
    return Memory("buffer", element, shape, tuple(stride // size for stride in strides), view.buf or 0)


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
