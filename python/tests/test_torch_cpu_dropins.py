"""The functions by others' signatures on CPU tensors, with the CPU library. Skipped where torch is not installed."""

from __future__ import annotations

import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

from normrope._dispatch import why_unfit

if why_unfit(torch) is not None:
    raise unittest.SkipTest(f"needs another torch: {why_unfit(torch)}")

from dropin_cases import DropInCases
from dropin_compiled import CompileCases
from dropin_refused import RefusedCases


class Cpu(DropInCases, CompileCases, RefusedCases):
    device = "cpu"


del CompileCases, DropInCases, RefusedCases  # they have no device

if __name__ == "__main__":
    unittest.main()
