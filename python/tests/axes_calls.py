"""Calls of the op that ships at points off its defaults, on random values, checked against the oracle.

In: what is done to heads. Out: arguments by their names, as plain buffers, and errors of results. The oracle has the
equations in float64, and rounds where `norm_rounding` and `rope_rounding` say. Knows nothing of torch: tensors are made
of the same bits elsewhere.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import normrope
from reference import TWO_PI, decode, encode, frequency, random_bits, ulp

DIM = 64
HEADS = {"q": 3, "k": 2, "v": 2}
TOKENS = 6
BASE, EPS = 1e4, 1e-5
#: Of each axis of time and space; the first is that of a token with one position.
POSITIONS = ([0, -3, 4097, 2**33, 5, 131_072], [7, 7, 7, 1, 2, 3], [1, 0, 2, 40, 41, 1000])
#: Of each axis, where they are indices of rows.
INDICES = ([0, 8, 3, 3, 1, 7], [2, 2, 0, 1, 2, 8], [5, 4, 3, 2, 1, 0])
ROWS = 9


@dataclass(frozen=True)
class Work:
    """What a call does. Angles are of a `table`, or cosines in rows: `rows` by position, `tokens` by token."""

    dtype: str = "bf16"
    norm: str = "rms"
    weight: str = "plain"
    has_bias: bool = False
    weight_dtype: str = "bf16"
    #: Weights and biases have a row for each head.
    weight_heads: bool = False
    norm_rounding: str = "once"
    rotary_dim: int = DIM
    rope: str = "neox"
    rotary_at: str = "leading"
    angles: str = "table"
    cos_dtype: str = "bf16"
    #: The pairs of each axis.
    sections: tuple[int, ...] = ()
    rope_rounding: str = "once"
    value: str = "none"

    @property
    def axes(self) -> dict[str, str]:
        """Those that a call says."""
        own = {"norm": self.norm, "value": self.value}
        if self.norm != "none":
            own |= {"weight": self.weight, "norm_rounding": self.norm_rounding}
        if self.rotary_dim:
            own |= {"rope": self.rope, "rotary_at": self.rotary_at, "rope_rounding": self.rope_rounding}
        return own


def shaped(flat: Any, *shape: int) -> memoryview:
    return memoryview(flat).cast("B").cast(flat.typecode, shape)


class AxesCall:
    """Random heads, weights and rows of cosines, all of which lie side by side."""

    def __init__(self, work: Work) -> None:
        self.work = work
        generator = random.Random(f"{work}")
        self.sides = "qk" if work.value == "none" else "qkv"
        self.heads = {
            side: array("H", random_bits(work.dtype, TOKENS * HEADS[side] * DIM, generator)) for side in self.sides
        }
        self.weights = {
            f"{side}_{name}": self._numbers(
                work.weight_dtype, DIM * (HEADS[side] if work.weight_heads else 1), generator
            )
            for side in "qk"
            for name, is_read in (("weight", work.norm != "none" and work.weight != "none"), ("bias", work.has_bias))
            if is_read
        }
        self.positions = [list(own) for own in (POSITIONS if work.angles == "table" else INDICES)]
        rows = TOKENS if work.angles == "tokens" else ROWS
        turns = [generator.uniform(0, 2 * math.pi) for _ in range(rows * work.rotary_dim // 2)]
        half = work.rotary_dim // 2
        flat = [
            f(turn)
            for row in range(rows)
            for f in (math.cos, math.sin)
            for turn in turns[row * half : row * half + half]
        ]
        self.cos_sin = self._made(work.cos_dtype, flat)

    @staticmethod
    def _made(dtype: str, values: list[float]) -> array[Any]:
        return array("f", values) if dtype == "float32" else array("H", [encode(dtype, value) for value in values])

    def _numbers(self, dtype: str, count: int, generator: random.Random) -> array[Any]:
        return self._made(dtype, [generator.gauss(0, 1) for _ in range(count)])

    @cached_property
    def pair_axes(self) -> array[int]:
        return normrope.pair_axes(list(self.work.sections))

    def inputs(self, **changed: Any) -> dict[str, Any]:
        """All but the heads, by the names of arguments."""
        work, rows = self.work, {"q": HEADS["q"], "k": HEADS["k"]}
        given: dict[str, Any] = dict(work.axes)
        for name, own in self.weights.items():
            given[name] = shaped(own, rows[name[0]], DIM) if work.weight_heads else own
        if work.norm != "none" or work.value == "norm":
            given["eps"] = EPS
        if work.rotary_dim:
            if work.angles == "table":
                given["rope_table"] = normrope.RopeTable(base=BASE, rotary_dim=work.rotary_dim)
            else:
                given["cos_sin"] = shaped(self.cos_sin, len(self.cos_sin) // work.rotary_dim, work.rotary_dim)
            if work.sections:
                flat = array("q", [each for axis in self.positions[: len(work.sections)] for each in axis])
                given |= {"positions": shaped(flat, len(work.sections), TOKENS), "pair_axes": self.pair_axes}
            elif work.angles != "tokens":
                given["positions"] = array("q", self.positions[0])
        return {**given, **changed}

    def shape(self, side: str) -> tuple[int, int, int]:
        return TOKENS, HEADS[side], DIM

    def errors(self, side: str, output: array[int]) -> tuple[float, float]:
        """The largest error as a multiple of what is allowed, and the part of the elements whose bits differ."""
        largest, different = 0.0, 0
        for token in range(TOKENS):
            for head in range(HEADS[side]):
                at = slice((token * HEADS[side] + head) * DIM, (token * HEADS[side] + head + 1) * DIM)
                want = self._expected(
                    side, token, head, [decode(self.work.dtype, bits) for bits in self.heads[side][at]]
                )
                scale = max(map(abs, want))
                for bits, exact in zip(output[at], want, strict=True):
                    got = decode(self.work.dtype, bits)
                    allowed = 1e-5 * scale + 0.51 * ulp(self.work.dtype, exact)
                    if self.is_rounded:
                        allowed += 2 * ulp(self.work.dtype, scale)
                    largest = max(largest, abs(got - exact) / allowed if math.isfinite(got) else math.inf)
                    different += got != self._round(exact)
        return largest, different / len(output)

    @property
    def is_rounded(self) -> bool:
        return (self.work.norm_rounding, self.work.rope_rounding) != ("once", "once")

    def _round(self, value: float) -> float:
        return decode(self.work.dtype, encode(self.work.dtype, value))

    def _rounds(self, rounding: str, *where: str) -> Callable[[float], float]:
        return self._round if rounding in where else float

    def _expected(self, side: str, token: int, head: int, x: list[float]) -> list[float]:
        work = self.work
        if side == "v":
            return x if work.value == "copy" else self._normed(x, "rms", [1.0] * DIM, [0.0] * DIM)
        if work.norm != "none":
            weight = self._row(f"{side}_weight", head, 1.0)
            factors = [1 + w for w in weight] if work.weight == "one_plus" else weight
            x = self._normed(x, work.norm, factors, self._row(f"{side}_bias", head, 0.0))
        return self._rotated(x, token)

    def _row(self, name: str, head: int, otherwise: float) -> list[float]:
        own = self.weights.get(name)
        if own is None:
            return [otherwise] * DIM
        row = own[head * DIM : (head + 1) * DIM] if self.work.weight_heads else own
        return list(row) if own.typecode == "f" else [decode(self.work.dtype, bits) for bits in row]

    def _normed(self, x: list[float], norm: str, factors: list[float], bias: list[float]) -> list[float]:
        rounding = self.work.norm_rounding
        mean = math.fsum(x) / DIM if norm == "layer" else 0.0
        centred = [value - mean for value in x]
        scale = 1 / math.sqrt(math.fsum(value * value for value in centred) / DIM + EPS)
        scale = self._rounds(rounding, "scale")(scale)
        first = self._rounds(rounding, "before_weight")
        last = self._rounds(rounding, "before_weight", "after_weight", "scale")
        return [last(first(value * scale) * w + b) for value, w, b in zip(centred, factors, bias, strict=True)]

    def _rotated(self, x: list[float], token: int) -> list[float]:
        work, y = self.work, list(x)
        half = work.rotary_dim // 2
        start = DIM - work.rotary_dim if work.rotary_at == "trailing" else 0
        product = self._rounds(work.rope_rounding, "products")
        total = self._rounds(work.rope_rounding, "products", "sum")
        for pair in range(half):
            first, second = (2 * pair, 2 * pair + 1) if work.rope == "interleaved" else (pair, pair + half)
            a, b = product(x[start + first]), product(x[start + second])
            cos, sin = self._angle(token, pair)
            y[start + first] = total(product(a * cos) - product(b * sin))
            y[start + second] = total(product(b * cos) + product(a * sin))
        return y

    def _angle(self, token: int, pair: int) -> tuple[float, float]:
        work, half = self.work, self.work.rotary_dim // 2
        axis = self._axis_of(pair)
        position = token if work.angles == "tokens" else self.positions[axis][token]
        if work.angles == "table":
            turn = float(Fraction(frequency(BASE, work.rotary_dim, pair)) * position % TWO_PI)
            return math.cos(turn), math.sin(turn)
        at = position * work.rotary_dim + pair
        cos, sin = self.cos_sin[at], self.cos_sin[at + half]
        return (cos, sin) if work.cos_dtype == "float32" else (decode(work.dtype, cos), decode(work.dtype, sin))

    def _axis_of(self, pair: int) -> int:
        """The axis whose section has the pair."""
        ends = [sum(self.work.sections[: i + 1]) for i in range(len(self.work.sections))]
        return next((axis for axis, end in enumerate(ends) if pair < end), 0)


#: What the library of axes/normrope.config.ts does, and what a call may say otherwise without another kernel.
WORKS: tuple[Work, ...] = (
    Work(),
    Work(weight_heads=True),
    Work(value="copy"),
    Work(value="norm"),
    Work(weight_dtype="float32"),
    Work(weight_dtype="float32", weight_heads=True, value="norm"),
    Work(norm="layer"),
    Work(norm="layer", has_bias=True),
    Work(norm="layer", has_bias=True, weight_heads=True, weight_dtype="float32"),
    Work("f16", norm="none", rotary_dim=32),
    Work("f16", norm="none", rotary_dim=32, rotary_at="trailing"),
    Work(rope="interleaved", rotary_dim=32, rotary_at="trailing"),
    Work(norm_rounding="before_weight"),
    Work(norm_rounding="after_weight"),
    Work(weight="none", norm_rounding="scale"),
    *(
        Work(weight="none", angles=angles, cos_dtype=cos_dtype, sections=sections)
        for cos_dtype in ("bf16", "float32")
        for angles, sections in (("rows", ()), ("tokens", ()), ("rows", (10, 12, 10)))
    ),
    Work(angles="rows", rope_rounding="products"),
    Work(angles="rows", rope_rounding="sum"),
    Work(angles="tokens", cos_dtype="float32", rope_rounding="sum"),
    Work(sections=(12, 20)),
    Work(sections=(8, 12, 12)),
    Work(rotary_dim=0),
    Work(rotary_dim=0, norm="none", value="norm"),
)
