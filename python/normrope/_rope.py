"""RoPE parameters → the table that the kernels read.

In: base, rotary dim and YaRN's ramp, as SGLang's op takes them. Out: frequencies in float64 by the equations of
runtime/rope_frequencies.ts, the turns for each step of position as 0.64 fixed point, which the C library makes of them,
and a bounded number of such tables. Must not know of torch: who owns the memory of a table says where it lies.
"""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ._abi import Functions
from .errors import invalid_argument, require_finite, require_positive

#: A model has one table, or one for each kind of layer.
TABLES_KEPT = 16

TABLE_ALIGNMENT_BYTES = 16
_WORD_BYTES = 8


@dataclass(frozen=True)
class Rope:
    """What a table is made from. Checked and normalised: `low` and `high` are 0 where `factor` is 1."""

    base: float
    rotary_dim: int
    factor: float
    low: float
    high: float

    def __post_init__(self) -> None:
        require_positive("base", self.base)
        if self.factor == 1:
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", 0.0)
        require_positive("factor", self.factor)
        if self.high < self.low:
            raise invalid_argument("high", self.high, f"at least low, {self.low}")
        require_finite("low", self.low)
        require_finite("high", self.high)

    @property
    def frequencies(self) -> list[float]:
        """`[rotary_dim / 2]`, radians per position: those up to index `low` stay, from `high` on they are divided by
        `factor`. Peng et al. 2023 (YaRN); Su et al. 2021 where `factor` is 1."""
        width = self.high - self.low or 0.001

        def scaled(i: int) -> float:
            try:
                plain: float = self.base ** (-2 * i / self.rotary_dim)
            except OverflowError:  # of a base next to 0
                raise invalid_argument("base", self.base, "one whose frequencies float64 can hold") from None
            interpolated = min(max((i - self.low) / width, 0.0), 1.0)
            return (plain / self.factor) * interpolated + plain * (1 - interpolated)

        return [scaled(i) for i in range(self.rotary_dim // 2)]


def turns_of(rope: Rope, functions: Functions) -> ctypes.Array[ctypes.c_uint64]:
    """`[rotary_dim / 2]` uint64 in host memory, aligned as the kernels need it."""
    frequencies = rope.frequencies
    count = len(frequencies)
    bytes_ = (ctypes.c_char * (count * _WORD_BYTES + TABLE_ALIGNMENT_BYTES))()
    offset = -ctypes.addressof(bytes_) % TABLE_ALIGNMENT_BYTES
    turns = (ctypes.c_uint64 * count).from_buffer(bytes_, offset)
    functions.require(functions.rope_table((ctypes.c_double * count)(*frequencies), count, turns))
    return turns


@dataclass(eq=False)
class Table:
    """A table on one device. A plan keeps it, and looks at `memory` before each use."""

    address: int
    #: What keeps the memory; None once the table was evicted.
    memory: Any
    #: Of the last use: the least is evicted first.
    stamp: int = 0
    #: Streams of a CUDA device that may read it still.
    streams: set[int] = field(default_factory=set)
    #: A CUDA graph may hold the address: it stays for good.
    is_captured: bool = False


clock = itertools.count(1)


class Tables:
    """The tables of all devices, at most 16 of each besides those that a CUDA graph holds."""

    def __init__(self, make: Callable[[Rope, str, Functions], Table], release: Callable[[Table, Any], None]) -> None:
        """`release` is given a table and what was its memory, when nobody will begin to use it any more."""
        self._make = make
        self._release = release
        self._tables: dict[str, dict[Rope, Table]] = {}
        self._lock = threading.Lock()

    def get(self, rope: Rope, device: str, functions: Functions) -> Table:
        with self._lock:
            tables = self._tables.setdefault(device, {})
            table = tables.get(rope)
            if table is None:
                table = self._make(rope, device, functions)
                tables[rope] = table
            table.stamp = next(clock)
            self._make_room(tables)
            return table

    def _make_room(self, tables: dict[Rope, Table]) -> None:
        loose = [rope for rope, table in tables.items() if not table.is_captured]
        if len(loose) <= TABLES_KEPT:
            return
        evicted = tables.pop(min(loose, key=lambda rope: tables[rope].stamp))
        memory, evicted.memory = evicted.memory, None
        self._release(evicted, memory)
