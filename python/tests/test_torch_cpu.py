"""The op on CPU tensors, with the CPU library. Skipped where torch is not installed."""

from __future__ import annotations

import os
import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

import normrope
from built import build
from torch_cases import Cases, TensorCall
from reference import Style


class Cpu(Cases):
    device = "cpu"

    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build())

    def test_the_question(self) -> None:
        self.assertIsNone(normrope.why_not(64, True, torch.bfloat16, device="cpu"))
        self.assertIsNone(normrope.why_not(128, True, torch.float16, rotary_dim=64, device=torch.device("cpu")))
        self.assertIn("float32", normrope.why_not(64, True, torch.float32, device="cpu") or "")
        if not torch.cuda.is_available():
            self.assertIsNone(normrope.why_not(64, True, torch.bfloat16))
            self.assertIn("torch sees no GPU", normrope.why_not(64, True, torch.bfloat16, device="cuda") or "")

    def test_the_library_is_an_argument_when_compiled_too(self) -> None:
        del os.environ["NORMROPE_LIBRARY"]
        for run in (normrope.fused_qk_norm_rope, torch.compile(normrope.fused_qk_norm_rope, fullgraph=True)):
            call = TensorCall(Style(64, 64, True), 4, self.device)
            run(*call.arguments(), library=str(build()))
            self.assertLessEqual(call.errors()[0], 1)


del Cases  # a base, and no test of its own

if __name__ == "__main__":
    unittest.main()
