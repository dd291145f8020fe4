"""`normrope.Op` on CUDA tensors. Skipped where torch is not installed or sees no GPU."""

from __future__ import annotations

import os
import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None
if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a GPU that torch sees")

from built import build
from own_cases import OwnCases


class Cuda(OwnCases):
    device = "cuda"

    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("sentences", "cuda"))


del OwnCases  # a base, and no tests of its own

if __name__ == "__main__":
    unittest.main()
