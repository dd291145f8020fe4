"""The oracle of the Python tests: stages from their equations in float64, and sixteen-bit floats.

In: numbers. Out: what a run should give, and by how much it may differ. Knows nothing of how the package works.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

#: 2 pi to 60 digits.
TWO_PI = 2 * Fraction("3.14159265358979323846264338327950288419716939937510582097494")

_LEAST_EXPONENT = {"bf16": -126, "f16": -14, "e4m3": -6}
_FRACTION_BITS = {"bf16": 7, "f16": 10, "e4m3": 3}

#: The largest number of e4m3, which has no infinity: what is larger becomes this.
E4M3_MAX = 448.0


def decode(dtype: str, bits: int) -> float:
    if dtype == "e4m3":
        return decode_e4m3(bits)
    if dtype == "f16":
        return struct.unpack("<e", struct.pack("<H", bits))[0]
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def decode_e4m3(bits: int) -> float:
    """A sign, four bits of an exponent with a bias of 7, three of a fraction (OCP FP8)."""
    exponent, fraction = bits >> 3 & 0xF, bits & 0x7
    if bits & 0x7F == 0x7F:
        return math.nan
    magnitude = math.ldexp(fraction, -9) if exponent == 0 else math.ldexp(8 + fraction, exponent - 10)
    return -magnitude if bits & 0x80 else magnitude


def encode(dtype: str, value: float) -> int:
    """Of a finite value: rounded to nearest, ties to even; for bf16 by way of float32, which test inputs allow."""
    if dtype == "f16":
        return struct.unpack("<H", struct.pack("<e", value))[0]
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    return (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16


def ulp(dtype: str, value: float) -> float:
    exponent = math.frexp(value)[1] - 1 if value != 0 else _LEAST_EXPONENT[dtype]
    return 2.0 ** (max(exponent, _LEAST_EXPONENT[dtype]) - _FRACTION_BITS[dtype])


def random_bits(dtype: str, count: int, generator: random.Random) -> list[int]:
    return [encode(dtype, generator.gauss(0, 1)) for _ in range(count)]


def frequency(base: float, rotary_dim: int, i: int, factor: float = 1, low: float = 0, high: float = 0) -> float:
    """As YaRN has it: a ramp between a frequency and its `factor`-th."""
    plain = base ** (-2 * i / rotary_dim)
    if factor == 1:
        return plain
    t = min(1.0, max(0.0, (i - low) / (high - low)))
    return plain * (1 - t) + plain / factor * t


@dataclass(frozen=True)
class Style:
    """All that decides what is done to a head."""

    head_dim: int
    rotary_dim: int
    is_neox: bool
    dtype: str = "bf16"
    base: float = 1e4
    factor: float = 1
    low: float = 0
    high: float = 0
    attention_factor: float = 1
    eps: float = 1e-6

    @property
    def rope_arguments(self) -> tuple[float, float, float, float]:
        return self.factor, self.low, self.high, self.attention_factor


class Head(NamedTuple):
    """Elements of a head, and how far from each float32 may be."""

    y: list[float]
    bound: list[float]


def norm(style: Style, head: Head, weight: str, factors: list[float]) -> Head:
    """`weight` says what of the factors multiplies: `plain`, `one_plus` or `none`."""
    x, bound = head
    squares = math.fsum(value * value for value in x) + len(x) * style.eps
    # Half of what errors of the elements do to the sum, relative to it.
    shift = math.fsum(abs(value) * error for value, error in zip(x, bound, strict=True)) / squares if squares else 0.0
    scale = 1 / math.sqrt(squares / len(x)) if squares else math.nan
    multiply = {"plain": lambda w: scale * w, "one_plus": lambda w: scale * (1 + w), "none": lambda _: scale}[weight]
    factors = [multiply(w) for w in factors]
    y = [value * factor for value, factor in zip(x, factors, strict=True)]
    errors = zip(y, factors, bound, strict=True)
    return Head(y, [abs(value) * (5.6e-7 + shift) + abs(factor) * error for value, factor, error in errors])


def rotate(style: Style, head: Head, position: int) -> Head:
    y, bound = list(head.y), list(head.bound)
    half = style.rotary_dim // 2
    for i in range(half):
        first, second = (i, i + half) if style.is_neox else (2 * i, 2 * i + 1)
        step = frequency(style.base, style.rotary_dim, i, style.factor, style.low, style.high)
        angle = float(Fraction(step) * position % TWO_PI)
        cos, sin = (style.attention_factor * f(angle) for f in (math.cos, math.sin))
        (a, b), (da, db) = ((of[first], of[second]) for of in head)
        y[first], y[second] = a * cos - b * sin, b * cos + a * sin
        own = abs(style.attention_factor) * 2e-6 * max(abs(a), abs(b))
        bound[first], bound[second] = own + abs(cos) * da + abs(sin) * db, own + abs(cos) * db + abs(sin) * da
    return Head(y, bound)


def expected_head(style: Style, x: list[float], weight: list[float], position: int) -> Head:
    """A head's result of the op that ships."""
    return rotate(style, norm(style, Head(x, [0.0] * len(x)), "plain", weight), position)


def largest_error(dtype: str, output: list[float], head: Head) -> float:
    """As a multiple of what one rounding, and float32 before it, may do, by generator/verify/accuracy.ts: at most 1."""

    def multiple(got: float, want: float, bound: float) -> float:
        error = abs(got - want) / (0.51 * ulp(dtype, want) + bound)
        return math.inf if math.isnan(error) else error

    return max(map(multiple, output, *head))
