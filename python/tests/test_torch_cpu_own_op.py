"""`normrope.Op` on CPU tensors, with the CPU library. Skipped where torch is not installed."""

from __future__ import annotations

import os
import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

from normrope._dispatch import why_unfit

if why_unfit(torch) is not None:
    raise unittest.SkipTest(f"needs another torch: {why_unfit(torch)}")

from built import build
from own_cases import OwnCases


class Cpu(OwnCases):
    device = "cpu"

    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("sentences"))


del OwnCases  # a base, and no tests of its own

if __name__ == "__main__":
    unittest.main()
