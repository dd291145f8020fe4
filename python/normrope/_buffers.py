"""The op on plain buffers of the host, with the CPU library: array.array, numpy arrays, memoryviews, ctypes arrays.

In: objects with the buffer protocol. Out: one run. Nothing is copied, and nothing is kept of what the caller
passes. Knows neither torch nor numpy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from ._call import pack_on_host
from ._form import Form
from ._kernels import kernel_for
from ._memory import Memory
from ._point import dtype_name
from .errors import NormropeError, invalid_argument, renaming, show, unfit_argument

#: Sixteen-bit floats: of those in `H`, bit patterns, the caller says which they are.
_FLOATS = {"H": None, "e": "f16"}
_OTHERS = {("i", 4): "int32", ("l", 8): "int64", ("q", 8): "int64", ("l", 4): "int32", ("f", 4): "float32"} | {
    (code, 8): "uint64" for code in "LQ"
}

_STRIDES = 0x0018  # PyBUF_STRIDES
_PY_BUFFER_WORDS = 10  # of CPython's `Py_buffer`, whose first is the address


def run_on_buffers(form: Form, values: Sequence[Any], options: tuple[Any, ...], dtype: object) -> None:
    """`values` are buffers by the names of `form`, and None where one is left out."""
    with ExitStack() as held, renaming(form.renames):
        memories: dict[str, Memory] = {}
        addresses = [0] * len(values)
        for source, (name, value) in enumerate(zip(form.tensors, values, strict=True)):
            if value is None:
                continue
            view, own_dtype = _view_of(name, value)
            held.enter_context(view)
            memories[name] = _memory_of(name, view, dtype, own_dtype, source)
            addresses[source] = _address_of(view)
        matched = form.matched(memories, options)
        kernel = kernel_for(matched.point, "cpu", library=matched.library)
        pack_on_host(matched, kernel).bound(kernel)(addresses, None)


def _view_of(name: str, value: Any) -> tuple[memoryview, str | None]:
    """A view, while which lives the buffer neither moves nor goes; and the dtype that only the owner can tell.

    Raises `invalid-argument`."""
    own_dtype = None
    if getattr(getattr(value, "dtype", None), "name", None) == "bfloat16":
        own_dtype, value = "bf16", value.view("uint16")  # numpy's buffers cannot tell of ml_dtypes' types
    try:
        return memoryview(value), own_dtype
    except (TypeError, ValueError, BufferError) as cause:
        raise invalid_argument(name, value, "a buffer, such as an array.array or a numpy array") from cause


def _address_of(view: memoryview) -> int:
    """Python tells it only through its C interface."""
    raw = (ctypes.c_void_p * _PY_BUFFER_WORDS)()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), raw, _STRIDES)
    address = raw[0]
    ctypes.pythonapi.PyBuffer_Release(raw)
    return address or 0


def _memory_of(name: str, view: memoryview, dtype: object, own_dtype: str | None, source: int) -> Memory:
    code = view.format.lstrip("@=<")
    if code in _FLOATS:
        element = own_dtype or _FLOATS[code] or _named_dtype(dtype)
        if dtype is not None and dtype_name(dtype) != element:
            raise unfit_argument("dtype", show(dtype), f"{element}, as {name} is, or left out")
    else:
        element = _OTHERS.get((code, view.itemsize), f"type {show(code)}")
    size = view.itemsize or 1  # 0 of numpy's V0
    shape, strides = view.shape or (), view.strides or ()
    if any(stride % size for stride in strides):
        raise unfit_argument(name, f"a buffer with strides of {list(strides)} bytes", "of whole elements")
    in_elements = tuple(stride // size for stride in strides)
    return Memory("buffer", element, shape, in_elements, source, is_read_only=view.readonly)


def _named_dtype(dtype: object) -> str:
    if dtype is None:
        fix = 'Say `dtype="bf16"` or `dtype="f16"`'
        raise NormropeError("invalid-argument", "dtype is None, and bit patterns do not tell what they are", fix)
    name = dtype_name(dtype)
    if name in ("bf16", "f16"):
        return name
    raise invalid_argument("dtype", dtype, '"bf16" or "f16"')
