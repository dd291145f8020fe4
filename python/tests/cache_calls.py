"""Calls that write a paged KV cache or FP8, on random values, checked against the oracle.

In: what is done to heads, and how a cache lies in memory. Out: arguments by their names, as plain buffers; and whether
outputs and caches hold what they should, and nothing else was written. Knows nothing of torch: tensors are made of the
same bits elsewhere.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import normrope
from reference import E4M3_MAX, Head, Style, decode, largest_error, norm, random_bits, rotate

DIM, BLOCK_SIZE, BLOCKS, TOKENS = 64, 4, 5, 9
HEADS = {"q": 3, "k": 2, "v": 2}
POSITIONS = [0, -3, 4097, 2**33, 131_072, 7, 8, 9, 10]
#: Pages in no order. Two tokens have no slot.
SLOTS = [13, 2, -1, 19, 0, 7, -5, 16, 6]
#: What memory holds before a call, in bits.
BEFORE = {"bf16": 0x1234, "f16": 0x1234, "e4m3": 0x2B}


class Strided:
    """Elements of a flat array, any strides apart: what numpy's arrays are, for tests that have no numpy."""

    def __init__(self, flat: array[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> None:
        """Strides and offset are in elements."""
        self.flat, self.shape, self.strides, self.offset = flat, shape, strides, offset

    def at(self, *index: int) -> int:
        """Where in the flat array an element lies."""
        return self.offset + sum(i * stride for i, stride in zip(index, self.strides, strict=True))


@dataclass(frozen=True)
class Layout:
    """How the caches of k and v lie. `make` gives both of elements of a type."""

    name: str
    make: Callable[[str], dict[str, Strided]]
    block_size: int = BLOCK_SIZE


def _empty(typecode: str, count: int) -> array[Any]:
    return array(typecode, [BEFORE["e4m3" if typecode == "B" else "bf16"]]) * count


def _nhd(typecode: str) -> dict[str, Strided]:
    """Slots, then heads; rows of v are longer."""
    k = Strided(_empty(typecode, BLOCKS * BLOCK_SIZE * 2 * DIM), (BLOCKS, BLOCK_SIZE, 2, DIM), (512, 128, 64, 1))
    wide = _empty(typecode, BLOCKS * 800 + 16)
    return {"k": k, "v": Strided(wide, (BLOCKS, BLOCK_SIZE, 2, DIM), (800, 192, 80, 1), 16)}


def _hnd(typecode: str) -> dict[str, Strided]:
    """Heads, then slots, as a permuted view; both caches in one memory, one behind the other."""
    both = _empty(typecode, 2 * BLOCKS * 512)
    shape, strides = (BLOCKS, BLOCK_SIZE, 2, DIM), (512, 64, 256, 1)
    return {side: Strided(both, shape, strides, i * BLOCKS * 512) for i, side in enumerate("kv")}


def _packed(typecode: str) -> dict[str, Strided]:
    """`[blocks, heads, block_size, 2 * dim]`: k and v of a head side by side."""
    both = _empty(typecode, BLOCKS * 2 * BLOCK_SIZE * 2 * DIM)
    shape, strides = (BLOCKS, BLOCK_SIZE, 2, DIM), (1024, 128, 512, 1)
    return {side: Strided(both, shape, strides, i * DIM) for i, side in enumerate("kv")}


def _pool(typecode: str) -> dict[str, Strided]:
    """`[slots, heads, dim]`: no blocks."""
    count = BLOCKS * BLOCK_SIZE
    return {side: Strided(_empty(typecode, count * 128), (count, 2, DIM), (128, 64, 1)) for side in "kv"}


LAYOUTS = (Layout("NHD", _nhd), Layout("HND", _hnd), Layout("packed", _packed), Layout("pool", _pool, 1))


@dataclass(frozen=True)
class Work:
    """What a call does. `scales` is how many scales e4m3 has: none, one as `[]` or `[1]`, or one for each head."""

    cache: str = "same"
    out: str = "same"
    value: str = "none"
    scales: str = "none"
    style: Style = Style(DIM, DIM, True, eps=1e-5)
    layout: Layout = LAYOUTS[0]
    slot_type: str = "q"

    @property
    def dtype_of_cache(self) -> str:
        return "e4m3" if self.cache == "e4m3" else self.style.dtype

    @property
    def dtype_of_out(self) -> str:
        return "e4m3" if self.out == "e4m3" else self.style.dtype


def shaped(flat: Any, *shape: int) -> memoryview:
    return memoryview(flat).cast("B").cast(flat.typecode, shape)


class CacheCall:
    """Random heads and weights, and caches whose memory is known."""

    def __init__(self, work: Work) -> None:
        self.work, style = work, work.style
        generator = random.Random(f"{replace(work, layout=LAYOUTS[0])}")

        def bits(count: int) -> array[int]:
            return array("H", random_bits(style.dtype, count * DIM, generator))

        self.heads = {side: bits(TOKENS * count) for side, count in HEADS.items()}
        self.weights = {side: bits(1) for side in "qk"}
        self.caches = {} if work.cache == "none" else work.layout.make("B" if work.cache == "e4m3" else "H")
        self.scales: dict[str, list[float]] = {}
        for side, count in HEADS.items():
            for of, is_e4m3 in (("cache", side != "q" and work.cache == "e4m3"), ("out", work.out == "e4m3")):
                if is_e4m3 and work.scales != "none":
                    # Small enough that some results are beyond the range of e4m3.
                    own = [2.0 ** generator.randint(-9, 0) * 1.25 for _ in range(count)]
                    self.scales[f"{side}_{of}_scale"] = own if work.scales == "heads" else own[:1]

    def shape(self, side: str) -> tuple[int, int, int]:
        return TOKENS, HEADS[side], DIM

    @property
    def sides_with_output(self) -> str:
        """Where nothing is said of outputs."""
        return "qk" if self.work.value == "none" else "qkv"

    def scale(self, name: str) -> Any:
        flat = array("f", self.scales[name])
        return shaped(flat) if self.work.scales == "[]" else flat

    def inputs(self, **changed: Any) -> dict[str, Any]:
        """All but the heads and outputs. Scales of outputs are not among them."""
        work, style = self.work, self.work.style
        given: dict[str, Any] = {f"{side}_weight": own for side, own in self.weights.items()}
        given |= {"positions": array("q", POSITIONS), "eps": style.eps, "value": work.value, "dtype": style.dtype}
        given["rope_table"] = normrope.RopeTable(base=style.base, rotary_dim=style.rotary_dim)
        given["rope"] = "neox" if style.is_neox else "interleaved"
        if self.caches:
            given |= {f"{side}_cache": own for side, own in self.caches.items()}
            given["slots"] = array(work.slot_type, SLOTS)
        given |= {name: self.scale(name) for name in self.scales if "_cache" in name}
        return {**given, **changed}

    def outputs(self, sides: str) -> dict[str, array[Any]]:
        typecode = "B" if self.work.out == "e4m3" else "H"
        return {side: _empty(typecode, TOKENS * HEADS[side] * DIM) for side in sides}

    def outputs_given(self, outputs: dict[str, array[Any]]) -> dict[str, Any]:
        """As arguments, with their scales."""
        names = [f"{side}_out_scale" for side in outputs]
        given = {name: self.scale(name) for name in names if name in self.scales}
        return given | {f"{side}_out": shaped(own, *self.shape(side)) for side, own in outputs.items()}

    def output_error(self, side: str, output: Any) -> float:
        """The largest error of an output, as a multiple of what is allowed."""
        errors = [
            self._error(side, token, head, "out", output[(token * HEADS[side] + head) * DIM :][:DIM])
            for token in range(TOKENS)
            for head in range(HEADS[side])
        ]
        return max(errors)

    def cache_error(self) -> float:
        """The same for both caches; infinite where something else was written."""
        written: dict[int, set[int]] = {}
        largest = 0.0
        for side, cache in self.caches.items():
            own = written.setdefault(id(cache.flat), set())
            for token, slot in enumerate(SLOTS):
                for head in range(HEADS[side] if slot >= 0 else 0):
                    size = self.work.layout.block_size
                    index = (slot,) if len(cache.shape) == 3 else (slot // size, slot % size)
                    start = cache.at(*index, head, 0)
                    own |= set(range(start, start + DIM))
                    found = cache.flat[start : start + DIM]
                    largest = max(largest, self._error(side, token, head, "cache", found))
        before = BEFORE["e4m3" if self.work.cache == "e4m3" else "bf16"]
        for cache in self.caches.values():
            rest = (bits for i, bits in enumerate(cache.flat) if i not in written[id(cache.flat)])
            if any(bits != before for bits in rest):
                return math.inf
        return largest

    def _error(self, side: str, token: int, head: int, of: str, found: Any) -> float:
        dtype = self.work.dtype_of_cache if of == "cache" else self.work.dtype_of_out
        want = self._expected(side, token, head)
        if dtype == "e4m3":
            scales = self.scales.get(f"{side}_{of}_scale", [1.0])
            scale = scales[head % len(scales)]
            bound = [(own + 1.2e-7 * abs(value)) / scale for own, value in zip(want.bound, want.y, strict=True)]
            want = Head([min(E4M3_MAX, max(-E4M3_MAX, value / scale)) for value in want.y], bound)
        return largest_error(dtype, [decode(dtype, bits) for bits in found], want)

    def _expected(self, side: str, token: int, head: int) -> Head:
        work, style = self.work, self.work.style
        at = (token * HEADS[side] + head) * DIM
        x = Head([decode(style.dtype, bits) for bits in self.heads[side][at : at + DIM]], [0.0] * DIM)
        if side == "v":
            return norm(style, x, "none", [1.0] * DIM) if work.value == "norm" else x
        weight = [decode(style.dtype, bits) for bits in self.weights[side]]
        return rotate(style, norm(style, x, "plain", weight), POSITIONS[token])


_F16 = Style(DIM, 32, False, "f16", eps=1e-5)

#: What the library of caches/normrope.config.ts does, in every layout.
WORKS: tuple[Work, ...] = (
    *(
        Work(cache, value=value, layout=layout)
        for cache in ("same", "e4m3")
        for value in ("none", "copy", "norm")
        for layout in LAYOUTS
    ),
    *(
        Work("e4m3", scales=scales, value="norm", layout=layout)
        for scales in ("[]", "[1]", "heads")
        for layout in LAYOUTS
    ),
    *(Work(cache, style=_F16, slot_type="i", scales="heads") for cache in ("same", "e4m3")),
)

#: Those with FP8 outputs, which cannot be in place.
FP8_WORKS: tuple[Work, ...] = (
    *(
        Work(cache, "e4m3", value, scales)
        for cache in ("same", "e4m3")
        for value in ("none", "norm")
        for scales in ("none", "[1]", "heads")
    ),
    *(Work("none", "e4m3", "norm", scales) for scales in ("none", "[]", "heads")),
)
