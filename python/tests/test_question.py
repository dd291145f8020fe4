"""Whether there is a kernel, and why there is none."""

from __future__ import annotations

import unittest
from typing import Any

import normrope
from built import build
from case import NormropeCase


class Question(NormropeCase):
    def test_why_not(self) -> None:
        options: dict[str, Any] = {"library": build(), "device": "cpu"}
        self.assertTrue(normrope.can_use_fused_qk_norm_rope(64, True, "bf16", **options))
        self.assertTrue(normrope.can_use_fused_qk_norm_rope(128, False, "f16", True, rotary_dim=64, **options))
        self.assertIsNone(normrope.why_not(256, True, "bfloat16", **options))
        for arguments, part in (
            ((60, True, "bf16"), "headDim is 60, and must be a multiple of 8 from 16 to 1024"),
            ((64, True, "f32"), 'dtype is "f32", and must be one of "bf16", "f16"'),
            ((64, 1, "bf16"), "is_neox is 1"),
            ((96, True, "bf16"), "holds no kernel for headDim 96"),
        ):
            self.assertIn(part, normrope.why_not(*arguments, **options) or "")
            self.assertFalse(normrope.can_use_fused_qk_norm_rope(*arguments, **options))
        self.assertIn("device is", normrope.why_not(64, True, "bf16", device="tpu") or "")


if __name__ == "__main__":
    unittest.main()
