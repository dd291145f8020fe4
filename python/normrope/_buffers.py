"""The op on plain buffers of the host, with the CPU library: array.array, numpy arrays, memoryviews, ctypes arrays.

In: objects with the buffer protocol. Out: one run. Nothing is copied or kept. Must not import torch or numpy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from ._call import pack_on_host
from ._form import Form
from ._inputs import TENSORS
from ._kernels import kernel_for
from ._memory import Memory
from ._point import dtype_name
from ._stages import OTHER_DTYPES
from .errors import NormropeError, invalid_argument, renaming, show, unfit_argument

#: Formats of halves. `H` is bit patterns, and the caller says of what.
_HALVES = {"H": None, "e": "f16"}
#: Arguments whose bytes are bit patterns of e4m3: nothing else of one byte can be there.
_E4M3 = frozenset(tensor.name for tensor in TENSORS if "e4m3" in OTHER_DTYPES.get(tensor.field, ()))
#: numpy's names for types of ml_dtypes, which its buffers cannot tell of; what they are here, and as bit patterns.
_ML_DTYPES = {"bfloat16": ("bf16", "uint16"), "float8_e4m3fn": ("e4m3", "uint8")}
#: Formats of other elements, whose size is apart.
_OTHERS = {"i": "int", "l": "int", "q": "int", "B": "uint", "L": "uint", "Q": "uint", "f": "float"}

_STRIDES = 0x0018  # PyBUF_STRIDES
_PY_BUFFER_WORDS = 10  # of CPython's `Py_buffer`, whose first is the address


def run_on_buffers(
    form: Form, values: Sequence[Any], options: tuple[Any, ...], dtype: object, may_be_in_place: bool = True
) -> None:
    """`values` are buffers in the order of the form; None is one that is left out."""
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
        if matched.open_sides and not may_be_in_place:
            want = "given, as of buffers none can be made. Or make the call in place"
            raise invalid_argument(f"{matched.open_sides[0]}_out", None, want)
        kernel = kernel_for(matched.point, "cpu", library=matched.library)
        pack_on_host(matched, kernel).bound(kernel)(addresses, None)


def _view_of(name: str, value: Any) -> tuple[memoryview, str | None]:
    """A view, which keeps the buffer where it is; and the dtype, if only its owner can tell it.

    Raises `invalid-argument`.
    """
    own_dtype = None
    name_of_numpy = getattr(getattr(value, "dtype", None), "name", None)
    if name_of_numpy in _ML_DTYPES:
        own_dtype, bits = _ML_DTYPES[name_of_numpy]
        value = value.view(bits)
    try:
        return memoryview(value), own_dtype
    except (TypeError, ValueError, BufferError) as cause:
        raise invalid_argument(name, value, "a buffer, such as an array.array or a numpy array") from cause


def _address_of(view: memoryview) -> int:
    """The address of the first element, which Python tells only through its C interface."""
    raw = (ctypes.c_void_p * _PY_BUFFER_WORDS)()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), raw, _STRIDES)
    address = raw[0]
    ctypes.pythonapi.PyBuffer_Release(raw)
    return address or 0


def _memory_of(name: str, view: memoryview, dtype: object, own_dtype: str | None, source: int) -> Memory:
    code = view.format.lstrip("@=<")
    if code in _HALVES:
        element = own_dtype or _HALVES[code] or _dtype_of_bits(dtype)
        if dtype is not None and dtype_name(dtype) != element:
            raise unfit_argument("dtype", show(dtype), f"{element}, as {name} is, or left out")
    elif own_dtype is not None or (code == "B" and name in _E4M3):
        element = own_dtype or "e4m3"
    else:
        element = f"{_OTHERS[code]}{8 * view.itemsize}" if code in _OTHERS else f"type {show(code)}"
    size = view.itemsize or 1  # 0 of numpy's V0
    shape, strides = view.shape or (), view.strides or ()
    if any(stride % size for stride in strides):
        raise unfit_argument(name, f"a buffer with strides of {list(strides)} bytes", "of whole elements")
    in_elements = tuple(stride // size for stride in strides)
    return Memory("buffer", element, shape, in_elements, source, is_read_only=view.readonly)


def _dtype_of_bits(dtype: object) -> str:
    if dtype is None:
        fix = 'Say `dtype="bf16"` or `dtype="f16"`'
        raise NormropeError("invalid-argument", "dtype is None, and bit patterns do not tell what they are", fix)
    name = dtype_name(dtype)
    if name in ("bf16", "f16"):
        return name
    raise invalid_argument("dtype", dtype, '"bf16" or "f16"')
