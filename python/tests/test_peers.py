"""The op against `sgl_kernel`'s and SGLang's own, where they can be imported; skipped by name where not.

Theirs form the angle in float32 and round as ours do, so results differ by a rounding at small positions.
"""

from __future__ import annotations

import importlib
import os
import unittest
from typing import Any

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None
if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a GPU that torch sees")

import normrope
from built import build
from case import NormropeCase
from reference import Style
from torch_cases import YARN, TensorCall

STYLES = [
    Style(head_dim, rotary_dim, is_neox, **ramp)
    for head_dim in (64, 128, 256)
    for rotary_dim in (head_dim, head_dim // 2)
    for is_neox in (True, False)
    for ramp in ({}, YARN)
]


class Peers(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build(target="cuda"))

    def peer(self, module: str) -> Any:
        try:
            return importlib.import_module(module).fused_qk_norm_rope
        except Exception as error:
            self.skipTest(f"needs {module}: {type(error).__name__}: {error}")

    def compare(self, theirs: Any) -> None:
        for style in STYLES:
            for tokens in (1, 32, 128):
                with self.subTest(style=style, tokens=tokens):
                    own, other = (TensorCall(style, tokens, "cuda", last_position=128) for _ in range(2))
                    own.run()
                    theirs(*other.arguments())
                    # Two roundings of values that are up to 2^-8 of them apart.
                    torch.testing.assert_close(own.qkv, other.qkv, rtol=2**-7, atol=2**-8)
                    self.assertFalse(torch.equal(own.qkv, own.before))

    def test_sgl_kernel(self) -> None:
        self.compare(self.peer("sgl_kernel"))

    def test_sglang_jit_kernel(self) -> None:
        self.compare(self.peer("sglang.jit_kernel.fused_qknorm_rope"))

    def test_sglang_kernels(self) -> None:
        self.compare(self.peer("sglang.kernels.ops.attention.fused_qknorm_rope"))

    def test_patch(self) -> None:
        try:
            patch = normrope.patch_sglang()
        except normrope.NormropeError as error:
            self.skipTest(f"needs sgl_kernel or sglang: {error}")
        self.addCleanup(patch.undo)
        self.assertNotEqual(patch.replaced, ())


if __name__ == "__main__":
    unittest.main()
