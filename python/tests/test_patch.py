"""`patch_sglang` on modules of SGLang's shape: what is replaced, what a replacement does, and the way back."""

from __future__ import annotations

import importlib
import os
import sys
import types
import unittest
from array import array
from typing import Any
from unittest import mock

import normrope
from built import build
from case import NormropeCase
from normrope._dispatch import find_torch_op

OLD = "sgl_kernel"
DEFINED = "sgl_kernel.moe"
JIT = "sglang.jit_kernel.fused_qknorm_rope"
NEW = "sglang.kernels.ops.attention.fused_qknorm_rope"
MROPE = "sglang.kernels.ops.attention.fused_qk_norm_mrope"
MODEL = "sglang.srt.models.some_model"


#: Not names of this module, which would be replaced too.
ORIGINAL = types.SimpleNamespace(
    op=lambda: None, jit_op=lambda: None, mrope=lambda: None, can_use=lambda: False, other=lambda: None
)
ONE = 0x3F80  # in bf16


class Stand(NormropeCase):
    """Modules are in `sys.modules` for the time of a test."""

    def setUp(self) -> None:
        super().setUp()
        find_torch_op()  # which imports modules, and these are forgotten below
        patched = mock.patch.dict(sys.modules)
        patched.start()
        self.addCleanup(patched.stop)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("sgl_kernel", "sglang")]:
            del sys.modules[name]
        # Installed modules must not be found either.
        patched_find = mock.patch.object(importlib, "import_module", self.import_module)
        patched_find.start()
        self.addCleanup(patched_find.stop)

    def import_module(self, name: str) -> types.ModuleType:
        if name not in sys.modules:
            raise ModuleNotFoundError(f"No module named {name!r}")
        return sys.modules[name]

    def module(self, name: str, **values: object) -> types.ModuleType:
        module = types.ModuleType(name)
        vars(module).update(values)
        sys.modules[name] = module
        return module

    def assert_ours(self, function: Any, ours: Any = normrope.fused_qk_norm_rope) -> None:
        self.assertIs(getattr(function, "__wrapped__", None), ours)

    def test_the_old_module_the_one_that_defines_it_and_those_that_imported_it(self) -> None:
        old = self.module(OLD, fused_qk_norm_rope=ORIGINAL.op)
        defined = self.module(DEFINED, fused_qk_norm_rope=ORIGINAL.op, topk_softmax=ORIGINAL.other)
        model = self.module(MODEL, fused_qk_norm_rope=ORIGINAL.op, another_name=ORIGINAL.op, other=ORIGINAL.other)
        patch = normrope.patch_sglang()
        self.addCleanup(patch.undo)
        for module in (old, defined, model):
            self.assert_ours(module.fused_qk_norm_rope)
        self.assert_ours(model.another_name)
        self.assertIs(model.other, ORIGINAL.other)
        expected = {f"{OLD}.fused_qk_norm_rope", f"{DEFINED}.fused_qk_norm_rope"}
        expected |= {f"{MODEL}.fused_qk_norm_rope", f"{MODEL}.another_name"}
        self.assertEqual(set(patch.replaced), expected)

    def test_the_new_modules_and_the_gate(self) -> None:
        for name in (JIT, NEW):
            with self.subTest(name=name):
                module = self.module(
                    name, fused_qk_norm_rope=ORIGINAL.jit_op, can_use_fused_qk_norm_rope=ORIGINAL.can_use
                )
                model = self.module(MODEL, can_use_fused_qk_norm_rope=ORIGINAL.can_use)
                patch = normrope.patch_sglang()
                self.assert_ours(module.fused_qk_norm_rope)
                for each in (module, model):
                    self.assert_ours(each.can_use_fused_qk_norm_rope, normrope.can_use_fused_qk_norm_rope)
                patch.undo()
                self.assertIs(module.fused_qk_norm_rope, ORIGINAL.jit_op)
                self.assertIs(module.can_use_fused_qk_norm_rope, ORIGINAL.can_use)
                self.assertIs(model.can_use_fused_qk_norm_rope, ORIGINAL.can_use)
                del sys.modules[name]

    def test_a_second_patch_replaces_late_imports_only(self) -> None:
        self.module(JIT, fused_qk_norm_rope=ORIGINAL.jit_op)
        first = normrope.patch_sglang()
        self.assertEqual(normrope.patch_sglang().replaced, ())
        late = self.module("a_model_that_kept_it", op=ORIGINAL.jit_op)
        second = normrope.patch_sglang()
        self.assertEqual(second.replaced, ("a_model_that_kept_it.op",))
        for patch in (second, first, first):
            patch.undo()
        self.assertIs(sys.modules[JIT].fused_qk_norm_rope, ORIGINAL.jit_op)
        self.assertIs(late.op, ORIGINAL.jit_op)
        third = normrope.patch_sglang()
        self.assertEqual(len(third.replaced), 2)
        third.undo()

    def test_undo_leaves_functions_of_others(self) -> None:
        module = self.module(JIT, fused_qk_norm_rope=ORIGINAL.jit_op)
        patch = normrope.patch_sglang()
        module.fused_qk_norm_rope = ORIGINAL.op
        patch.undo()
        self.assertIs(module.fused_qk_norm_rope, ORIGINAL.op)

    def test_a_module_without_the_op(self) -> None:
        self.module(OLD, fused_qk_norm=ORIGINAL.op)
        with self.refuses("library-not-found", f"there is no fused_qk_norm_rope to replace in {OLD}"):
            normrope.patch_sglang()

    def test_sglang_is_not_installed(self) -> None:
        with self.refuses("library-not-found", "there is no op to replace", JIT, "Install sglang"):
            normrope.patch_sglang()

    def test_mrope_is_replaced_also_alone(self) -> None:
        module = self.module(MROPE, fused_qk_norm_mrope=ORIGINAL.mrope)
        patch = normrope.patch_sglang()
        self.addCleanup(patch.undo)
        self.assert_ours(module.fused_qk_norm_mrope, normrope.sglang.fused_qk_norm_mrope)

    def test_the_original_runs_what_normrope_refuses_and_says_so_once(self) -> None:
        calls: list[tuple[Any, ...]] = []

        def original(*given: Any) -> str:
            calls.append(given)
            return "the original"

        module = self.module(JIT, fused_qk_norm_rope=original)
        self.addCleanup(normrope.patch_sglang().undo)
        heads, weight, positions = array("H", [ONE]) * 384, array("H", [ONE]) * 128, array("i", [0])
        others = (weight, weight, 1e4, True, positions, 1.0, 0.0, 0.0, 1.0)
        with self.assertLogs("normrope", "WARNING") as logged:
            for _ in range(3):  # bit patterns do not tell of what
                self.assertEqual(module.fused_qk_norm_rope(heads, 1, 1, 1, 128, 1e-6, *others), "the original")
        self.assertEqual(len(logged.output), 1)
        self.assertIn("bit patterns do not tell", logged.output[0])
        self.assertEqual(len(calls), 3)
        self.assertIs(calls[0][0], heads)
        os.environ["NORMROPE_LIBRARY"] = str(build("single"))
        row = array("H", [ONE]) * (3 * 96)
        given = (row, 1, 1, 1, 96, 1e-6, weight[:96], weight[:96], *others[2:])
        self.assertIsNone(module.fused_qk_norm_rope(*given, dtype="bf16"))
        self.assertEqual(len(calls), 3)

    def test_the_gate_asks_both(self) -> None:
        for theirs, answer in ((lambda *_, **__: True, True), (lambda *_, **__: False, False)):
            module = self.module(JIT, fused_qk_norm_rope=ORIGINAL.jit_op, can_use_fused_qk_norm_rope=theirs)
            patch = normrope.patch_sglang()
            os.environ["NORMROPE_LIBRARY"] = str(build("single"))
            self.assertTrue(module.can_use_fused_qk_norm_rope(96, True, "bf16", device="cpu"))
            self.assertIs(module.can_use_fused_qk_norm_rope(63, True, "bf16", False, device="cpu"), answer)
            patch.undo()


if __name__ == "__main__":
    unittest.main()
