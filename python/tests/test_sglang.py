"""`patch_sglang` on modules of SGLang's shape."""

from __future__ import annotations

import importlib
import sys
import types
import unittest
from unittest import mock

import normrope
from case import NormropeCase

OLD = "sgl_kernel"
DEFINED = "sgl_kernel.moe"
JIT = "sglang.jit_kernel.fused_qknorm_rope"
NEW = "sglang.kernels.ops.attention.fused_qknorm_rope"
MODEL = "sglang.srt.models.some_model"


#: Not names of this module, which would be replaced too.
ORIGINAL = types.SimpleNamespace(op=lambda: None, jit_op=lambda: None, can_use=lambda: False, other=lambda: None)


class Stand(NormropeCase):
    """Modules are in `sys.modules` for the time of a test."""

    def setUp(self) -> None:
        super().setUp()
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

    def test_the_old_module_the_one_that_defines_it_and_those_that_imported_it(self) -> None:
        old = self.module(OLD, fused_qk_norm_rope=ORIGINAL.op)
        defined = self.module(DEFINED, fused_qk_norm_rope=ORIGINAL.op, topk_softmax=ORIGINAL.other)
        model = self.module(MODEL, fused_qk_norm_rope=ORIGINAL.op, another_name=ORIGINAL.op, other=ORIGINAL.other)
        patch = normrope.patch_sglang()
        self.addCleanup(patch.undo)
        for module in (old, defined, model):
            self.assertIs(module.fused_qk_norm_rope, normrope.fused_qk_norm_rope)
        self.assertIs(model.another_name, normrope.fused_qk_norm_rope)
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
                self.assertIs(module.fused_qk_norm_rope, normrope.fused_qk_norm_rope)
                self.assertIs(module.can_use_fused_qk_norm_rope, normrope.can_use_fused_qk_norm_rope)
                self.assertIs(model.can_use_fused_qk_norm_rope, normrope.can_use_fused_qk_norm_rope)
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


if __name__ == "__main__":
    unittest.main()
