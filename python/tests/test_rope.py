"""RoPE tables against the equations, in exact arithmetic."""

from __future__ import annotations

import math
import unittest
from decimal import Decimal, getcontext
from fractions import Fraction

from built import build, library_in
from normrope._library import load_library
from normrope._rope import Rope, Table, Tables, turns_of
from reference import TWO_PI

getcontext().prec = 60

BASES = (1e4, 5e5, 1e6, 8e6, 12345.678, 2.0)


class Frequencies(unittest.TestCase):
    def test_without_scaling(self) -> None:
        for base in BASES:
            for rotary_dim in (2, 36, 64, 128, 1024):
                for i, got in enumerate(Rope(base, rotary_dim, 1.0, 0.0, 0.0).frequencies):
                    exact = Decimal(base) ** (Decimal(-2 * i) / rotary_dim)
                    # The exponent is rounded before the power is taken: its error comes back times ln(base).
                    allowed = math.ulp(got) + got * math.log(base) * math.ulp(2 * i / rotary_dim)
                    self.assertLessEqual(abs(float(Decimal(got) - exact)), allowed)

    def test_the_ramp(self) -> None:
        plain = Rope(1e6, 128, 1.0, 0.0, 0.0).frequencies
        for factor, low, high in (
            (4.0, 20.0, 37.0),
            (8.0, 11.5, 30.0),
            (0.5, 0.0, 63.0),
            (4.0, 9.0, 9.0),
            (4.0, -3.0, 99.0),
        ):
            width = Fraction(high) - Fraction(low) or Fraction(1, 1000)
            for i, got in enumerate(Rope(1e6, 128, factor, low, high).frequencies):
                t = min(Fraction(1), max(Fraction(0), (i - Fraction(low)) / width))
                exact = Fraction(plain[i]) * (1 - t) + Fraction(plain[i]) / Fraction(factor) * t
                self.assertLessEqual(abs(Fraction(got) - exact), 4 * Fraction(math.ulp(got)))

    def test_low_and_high_mean_nothing_without_scaling(self) -> None:
        self.assertEqual(Rope(1e4, 64, 1.0, math.nan, 3.0), Rope(1e4, 64, 1.0, 0.0, 0.0))


class Turns(unittest.TestCase):
    def test_are_exact_and_aligned(self) -> None:
        functions = load_library(library_in(build())).functions
        for rotary_dim in (2, 4, 64, 128):
            rope = Rope(1e6, rotary_dim, 1.0, 0.0, 0.0)
            turns = turns_of(rope, functions)
            import ctypes

            self.assertEqual(ctypes.addressof(turns) % 16, 0)
            exact = [round(Fraction(frequency) / TWO_PI % 1 * 2**64) % 2**64 for frequency in rope.frequencies]
            self.assertEqual(list(turns), exact)


class Kept(unittest.TestCase):
    def setUp(self) -> None:
        self.made: list[Rope] = []
        self.released: list[object] = []
        self.tables = Tables(self.make, lambda _, memory: self.released.append(memory))

    def make(self, rope: Rope, device: str, _: object) -> Table:
        self.made.append(rope)
        return Table(1, (device, rope.base))

    def get(self, base: float, device: str = "cpu") -> Table:
        return self.tables.get(Rope(base, 64, 1.0, 0.0, 0.0), device, None)  # type: ignore[arg-type]

    def test_the_one_used_last_longest_ago_makes_room(self) -> None:
        first = self.get(1.0)
        for base in range(2, 17):
            self.get(float(base))
        self.assertIs(self.get(1.0), first)
        self.assertEqual((len(self.made), self.released), (16, []))
        second = self.get(17.0)
        self.assertEqual(self.released, [("cpu", 2.0)])
        self.assertIs(self.get(17.0), second)
        self.assertIsNotNone(first.memory)
        self.get(2.0)
        self.assertEqual(self.released, [("cpu", 2.0), ("cpu", 3.0)])

    def test_each_device_has_its_own(self) -> None:
        for base in range(1, 17):
            self.get(float(base))
            self.get(float(base), "cuda:0")
        self.assertEqual(self.released, [])

    def test_what_a_graph_holds_stays(self) -> None:
        held = [self.get(float(base)) for base in range(1, 6)]
        for table in held:
            table.is_captured = True
        for base in range(6, 60):
            self.get(float(base))
        self.assertTrue(all(table.memory for table in held))
        self.assertEqual(len(self.released), 54 - 16)


if __name__ == "__main__":
    unittest.main()
