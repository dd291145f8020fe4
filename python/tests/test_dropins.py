"""The functions by others' signatures on plain buffers: the same bits as the general call, and what is refused.

The torch tests have their results checked against the equations.
"""

from __future__ import annotations

import math
import os
import random
import unittest
from array import array
from typing import Any

import normrope
from built import build
from case import NormropeCase
from normrope import sglang, tensorrt_llm, vllm
from reference import encode, random_bits

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

DIM, TOKENS, EPS = 128, 3, 1e-6
needs_numpy = unittest.skipIf(numpy is None, "needs numpy, whose arrays can be taken apart")


def shaped(flat: Any, *shape: int) -> memoryview:
    return memoryview(flat).cast("B").cast(flat.typecode, shape)


class DropIns(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("dropins"))
        self.random = random.Random(3)

    def heads(self, count: int) -> array[int]:
        return array("H", random_bits("bf16", TOKENS * count * DIM, self.random))

    def weight(self) -> array[int]:
        return array("H", random_bits("bf16", DIM, self.random))

    def cos_sin(self, rows: int) -> memoryview:
        turns = [[self.random.uniform(0, 7) for _ in range(DIM // 2)] for _ in range(rows)]
        values = [f(turn) for row in turns for f in (math.cos, math.sin) for turn in row]
        return shaped(array("H", [encode("bf16", value) for value in values]), rows, DIM)

    def test_sglang_mrope(self) -> None:
        q, k, v = self.heads(4), self.heads(2), self.heads(2)
        weights, cos_sin = (self.weight(), self.weight()), self.cos_sin(9)
        positions = shaped(array("q", [0, 8, 3, 1, 1, 2, 7, 0, 5]), 3, TOKENS)
        axes = normrope.pair_axes([24, 20, 20], "interleaved")
        for has_cache in (False, True):
            with self.subTest(has_cache=has_cache):
                results = []
                for is_drop_in in (False, True):
                    own = [array("H", side) for side in (q, k, v)]
                    rows = [shaped(flat, TOKENS, len(flat) // TOKENS) for flat in own]
                    caches = [array("H", bytes(2 * 2 * 4 * 2 * DIM)) for _ in range(2)]
                    paged = [shaped(cache, 2, 4, 2, DIM) for cache in caches]
                    slots = array("q", [5, -1, 0])
                    if is_drop_in:
                        cache = dict(value=rows[2], key_cache=paged[0], value_cache=paged[1], slots=slots)
                        sglang.fused_qk_norm_mrope(
                            *rows[:2], *weights, cos_sin, positions, array("q", axes), EPS,
                            dtype="bf16", **(cache if has_cache else {}),
                        )  # fmt: skip
                    else:
                        cache = dict(v=rows[2], k_cache=paged[0], v_cache=paged[1], slots=slots)
                        normrope.qk_norm_rope_(
                            *rows[:2], q_weight=weights[0], k_weight=weights[1], eps=EPS, rope="neox", dtype="bf16",
                            cos_sin=cos_sin, positions=positions, pair_axes=axes, head_dim=DIM,
                            **(cache if has_cache else {}),
                        )  # fmt: skip
                    results.append((own, caches))
                self.assertEqual(*results)
                self.assertNotEqual(results[0][0][0], q)

    def test_sglang_mrope_refuses(self) -> None:
        rows = [shaped(self.heads(2), TOKENS, 2 * DIM) for _ in range(2)]
        positions, axes = shaped(array("q", [0] * 9), 3, TOKENS), array("q", [0] * 64)
        given = [*rows, self.weight(), self.weight(), self.cos_sin(9), positions]
        for axis_map, change, parts in (
            (axes, dict(slots=array("q", [0] * 3)), ("value is None", "given, as slots is")),
            (axes, dict(cos_sin_cache=None), ("cos_sin_cache is None",)),
            (array("q", [300] * 64), {}, ("axis_map is", "axes, one for each pair")),
            (array("q", [0] * 63), {}, ("axis_map is a buffer of 63 elements",)),
        ):
            with self.subTest(change=change), self.refuses("invalid-argument", *parts):
                names = ("q", "k", "q_weight", "k_weight", "cos_sin_cache", "positions")
                said = dict(zip(names, given, strict=True)) | dict(axis_map=axis_map, eps=EPS, dtype="bf16")
                sglang.fused_qk_norm_mrope(**said | change)

    @needs_numpy
    def test_packed_rows(self) -> None:
        """vLLM's op and TensorRT-LLM's on rows of 4 q, 2 k and 2 v heads."""
        packed, weights = self.heads(8), (self.weight(), self.weight())
        positions, cos_sin = array("q", [0, 8, 3]), self.cos_sin(9)
        table = normrope.RopeTable(base=1e4, rotary_dim=DIM)
        rope = (1e4, True, positions, 1.0, 0.0, 0.0, 1.0)

        def of_vllm(rows: Any) -> None:
            vllm.fused_qk_norm_rope(rows, 4, 2, 2, DIM, EPS, *weights, cos_sin, True, positions, dtype="bf16")

        def of_tensorrt_llm(rows: Any) -> None:
            tensorrt_llm.fused_qk_norm_rope(rows, 4, 2, 2, DIM, DIM, EPS, *weights, *rope, dtype="bf16")

        for drop_in, angles in ((of_vllm, {"cos_sin": cos_sin}), (of_tensorrt_llm, {"rope_table": table})):
            with self.subTest(drop_in=drop_in.__name__):
                one, other = (numpy.array(packed, "uint16").reshape(TOKENS, 8 * DIM) for _ in range(2))
                drop_in(one)
                normrope.qk_norm_rope_(
                    other[:, : 4 * DIM], other[:, 4 * DIM : 6 * DIM], q_weight=weights[0], k_weight=weights[1],
                    eps=EPS, rope="neox", dtype="bf16", positions=positions, head_dim=DIM, **angles,
                )  # fmt: skip
                self.assertTrue((one == other).all())
                self.assertFalse((one.flatten() == numpy.array(packed)).all())

    @needs_numpy
    def test_packed_rows_of_other_widths(self) -> None:
        rows = numpy.zeros((TOKENS, 8 * DIM), "uint16")
        with self.refuses("invalid-argument", "qkv is a tensor of shape [3, 1024]", "rows of 4 + 2 + 1 heads of 128"):
            vllm.fused_qk_norm_rope(
                rows, 4, 2, 1, DIM, EPS, self.weight(), self.weight(), self.cos_sin(1), True, array("q", [0] * 3)
            )
        view = shaped(self.heads(4), TOKENS, 4 * DIM)
        with self.refuses("invalid-argument", "qkv is an object of type memoryview", "or an array of numpy's"):
            vllm.fused_qk_norm_rope(
                view, 2, 1, 1, DIM, EPS, self.weight(), self.weight(), self.cos_sin(1), True, array("q", [0] * 3)
            )
        with self.refuses("invalid-argument", "qkv is None"):
            tensorrt_llm.fused_qk_norm_rope(
                None, 4, 2, 1, DIM, DIM, EPS, None, None, 1e4, True, None, 1.0, 0.0, 0.0, 1.0
            )


if __name__ == "__main__":
    unittest.main()
