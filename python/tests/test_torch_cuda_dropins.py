"""The functions by others' signatures on CUDA tensors, with a CUDA library that is built here. Needs a GPU, nvcc and
torch."""

from __future__ import annotations

import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a GPU that torch sees")

from dropin_cases import DropInCases


class Cuda(DropInCases):
    device = "cuda"


del DropInCases  # they have no device

if __name__ == "__main__":
    unittest.main()
