"""The functions by others' signatures on CUDA tensors, with a library that is built here; and ops of torch that are
replaced. Needs a GPU, nvcc and torch."""

from __future__ import annotations

import unittest
from typing import Any

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a GPU that torch sees")

import normrope
from case import NormropeCase
from dropin_cases import DropInCases
from dropin_compiled import CompileCases
from dropin_oracle import EPS, Inputs
from dropin_refused import RefusedCases
from normrope import vllm
from normrope._patch import override_op
from normrope.errors import invalid_argument


class Cuda(DropInCases, CompileCases, RefusedCases):
    device = "cuda"

    def test_a_graph_reads_positions_anew(self) -> None:
        made, counts, dim = Inputs(self.device), (4, 2, 2), 128
        before, weight = made.heads(3, sum(counts) * dim), made.weight(dim)
        cos_sin, positions = made.cos_sin(dim, torch.bfloat16), made.positions(3)
        qkv = before.clone()

        def run(rows: torch.Tensor) -> None:
            vllm.fused_qk_norm_rope(rows, *counts, dim, EPS, weight, weight, cos_sin, True, positions)

        run(qkv)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run(qkv)
        for row in (0, 5, 96):
            positions.fill_(row)
            want = before.clone()
            run(want)
            qkv.copy_(before)
            graph.replay()
            self.assertTrue(torch.equal(qkv, want))


_definitions = torch.library.Library("normrope_test", "DEF")
_definitions.define("fill(Tensor! out, int value, int times=1) -> ()")


def _original(out: Any, value: int, times: int = 1) -> None:
    out.fill_(-value * times)


_definitions.impl("fill", _original, "CUDA")


def _ours(out: Any, value: int, times: int = 1) -> None:
    if value > 10:
        raise invalid_argument("value", value, "at most 10")
    out.fill_(value * times)


class Override(NormropeCase):
    """An op of torch stays the same op, and runs ours; the original where ours refuses, and in the end."""

    def test_override(self) -> None:
        op, out = torch.ops.normrope_test.fill.default, torch.zeros(1, device="cuda")

        def result(*given: int) -> float:
            op(out, *given)
            return out.item()

        self.assertEqual(result(3), -3)
        patch = override_op("normrope_test::fill", _ours)
        assert patch is not None
        self.assertEqual(patch.replaced, ("torch.ops.normrope_test.fill",))
        self.assertEqual((result(3), result(3, 2)), (3, 6))
        if hasattr(torch.library, "get_kernel"):
            with self.assertLogs("normrope", "WARNING") as logged:
                self.assertEqual((result(11), result(11), result(12, 2)), (-11, -11, -24))
            self.assertEqual(len(logged.output), 1)
        else:
            with self.refuses("invalid-argument", "value is 11"):
                result(11)
        again = override_op("normrope_test::fill", _ours)
        self.assertEqual(again and again.replaced, ())
        patch.undo()
        self.assertEqual(result(3), -3)
        patch.undo()
        self.assertIsNone(override_op("normrope_test::no_such_op", _ours))

    def test_vllm_is_not_installed(self) -> None:
        with self.refuses("library-not-found", "there is no op to replace", "Install a vllm"):
            normrope.patch_vllm()


del CompileCases, DropInCases, RefusedCases  # they have no device

if __name__ == "__main__":
    unittest.main()
