"""The oracle of the Python tests: the op from its equations in float64, and sixteen-bit floats.

In: numbers. Out: what a run should give, and by how much it may differ. Knows nothing of how the package works.
"""

from __future__ import annotations

import math
import random
import struct
from dataclasses import dataclass
from fractions import Fraction

#: 2 pi to 60 digits.
TWO_PI = 2 * Fraction("3.14159265358979323846264338327950288419716939937510582097494")

_LEAST_EXPONENT = {"bf16": -126, "f16": -14}
_FRACTION_BITS = {"bf16": 7, "f16": 10}


def decode(dtype: str, bits: int) -> float:
    if dtype == "f16":
        return struct.unpack("<e", struct.pack("<H", bits))[0]
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


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
    """What decides how a head is worked on."""

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


def expected_head(style: Style, x: list[float], weight: list[float], position: int) -> tuple[list[float], list[float]]:
    """A head's result, and the magnitude of float32 that may have gone into each element."""
    rms = math.sqrt(math.fsum(value * value for value in x) / len(x) + style.eps)
    y = [value / rms * w for value, w in zip(x, weight, strict=True)]
    magnitude = [abs(value) for value in y]
    half = style.rotary_dim // 2
    for i in range(half):
        a, b = (i, i + half) if style.is_neox else (2 * i, 2 * i + 1)
        step = frequency(style.base, style.rotary_dim, i, style.factor, style.low, style.high)
        angle = float(Fraction(step) * position % TWO_PI)
        cos, sin = (style.attention_factor * f(angle) for f in (math.cos, math.sin))
        largest = style.attention_factor * max(magnitude[a], magnitude[b])
        y[a], y[b] = y[a] * cos - y[b] * sin, y[b] * cos + y[a] * sin
        magnitude[a] = magnitude[b] = largest
    return y, magnitude


def largest_error(dtype: str, output: list[float], y: list[float], magnitude: list[float]) -> float:
    """As a multiple of what one rounding, and float32 before it, may do: runtime/accuracy.ts. At most 1 if right."""

    def multiple(got: float, want: float, size: float) -> float:
        error = abs(got - want) / (0.51 * ulp(dtype, want) + 2e-6 * 1.4 * size)
        return math.inf if math.isnan(error) else error

    return max(map(multiple, output, y, magnitude))
