"""Buffers with any strides, for calls on plain buffers: a stand-in for numpy's arrays, which tests cannot count on.

In: `Strided` of cache_calls. Out: what the package asks of a buffer. Python's own memoryviews are contiguous.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from cache_calls import Strided
from normrope import _buffers

_view_of, _address_of = _buffers._view_of, _buffers._address_of


class _View:
    """What the package reads of a memoryview."""

    readonly = False

    def __init__(self, value: Strided) -> None:
        self.format, self.itemsize = value.flat.typecode, value.flat.itemsize
        self.shape, self.strides = value.shape, tuple(stride * self.itemsize for stride in value.strides)
        self.address = value.flat.buffer_info()[0] + value.offset * self.itemsize

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None:
        """A memoryview lets go of its memory here."""


@contextlib.contextmanager
def strided_buffers() -> Iterator[None]:
    """Within, functions take `Strided` where they take buffers."""

    def view_of(name: str, value: Any) -> Any:
        return (_View(value), None) if isinstance(value, Strided) else _view_of(name, value)

    def address_of(view: Any) -> int:
        return view.address if isinstance(view, _View) else _address_of(view)

    with mock.patch.multiple(_buffers, _view_of=view_of, _address_of=address_of):
        yield
