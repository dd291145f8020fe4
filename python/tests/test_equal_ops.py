"""Ops with equal stages and other names: each runs its own kernels alone, whatever ran before in the process."""

from __future__ import annotations

import functools
import os
import shutil
import unittest
from array import array
from collections.abc import Callable
from typing import Any

import normrope
from built import SINGLE_ID, build
from case import NormropeCase, ones
from normrope._kernels import kernel_for, op_named
from normrope._point import complete, point_of
from sentence_calls import shaped

#: One that the op that ships has in the library, and one of the cache.
NOT_ITS_OWN = (64, 96)


class EqualOps(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ.update(NORMROPE_LIBRARY=str(build()), NORMROPE_JIT="0")
        shutil.copytree(build("single") / "cpu", self.cache / "jit" / SINGLE_ID / ("a" * 64))
        for folder in (self.cache, *self.cache.rglob("*")):
            folder.chmod(0o700)

    def run_at(self, head_dim: int, op: Callable[..., Any]) -> None:
        table = normrope.RopeTable(base=1e4, rotary_dim=head_dim)
        inputs: dict[str, Any] = {"positions": array("i", [7]), "rope_table": table, "eps": 1e-6, "rope": "neox"}
        op(shaped(ones("bf16", head_dim), 1, 1, head_dim), q_weight=ones("bf16", head_dim), **inputs, dtype="bf16")

    def test_an_own_op_runs_no_kernel_of_another_op(self) -> None:
        op = normrope.Op("as_shipped").in_place
        for head_dim in NOT_ITS_OWN:
            for before in (lambda *_: None, self.run_at):
                before(head_dim, normrope.qk_norm_rope_)
                parts = (f"holds no kernel of as_shipped for headDim {head_dim}", "is not compiled on first use")
                with self.subTest(head_dim=head_dim), self.refuses("kernel-not-found", *parts):
                    self.run_at(head_dim, op)
                self.run_at(80, op)

    def test_the_functions_run_kernels_of_any_op_with_the_same_stages(self) -> None:
        for head_dim in (80, *NOT_ITS_OWN):
            self.run_at(head_dim, normrope.qk_norm_rope_)
            self.run_at(head_dim, normrope.Op("qk_norm_rope").in_place)
            self.assertIsNone(normrope.why_not(head_dim, True, "bf16", device="cpu"))
        os.environ["NORMROPE_LIBRARY"] = str(build("single"))
        with self.refuses("kernel-not-found", "holds no kernel for headDim 80"):
            self.run_at(80, normrope.qk_norm_rope_)

    def test_the_op_that_ships_is_found_by_its_stages_alone(self) -> None:
        os.environ["NORMROPE_LIBRARY"] = str(build("renamed"))
        op = normrope.Op("qk_norm_rope").in_place
        for run in (normrope.qk_norm_rope_, op, normrope.Op("as_shipped").in_place):
            self.run_at(80, run)
        self.run_at(96, op)  # of the cache
        part = "bias is no argument of qk_norm_rope. Its arguments are q, q_out, q_weight, k, k_out, k_weight, pos"
        with self.refuses("invalid-argument", part):
            self.run_at(80, functools.partial(op, bias=1))
        with self.refuses("kernel-not-found", 'holds no op "qk_norm"', "Its ops are as_shipped."):
            self.run_at(80, normrope.Op("qk_norm").in_place)

    def test_each_op_runs_its_own_kernel_if_both_have_one(self) -> None:
        shipped = point_of(128, 128, True, "bf16")
        own = complete(shipped.values, op_named("as_shipped", "cpu"))
        for point in (shipped, own, shipped):
            self.assertTrue(kernel_for(point, "cpu").id.startswith(f"{point.op.name}_"))


if __name__ == "__main__":
    unittest.main()
