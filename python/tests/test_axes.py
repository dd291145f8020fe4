"""Norms, biases, angles, position axes, v and rounding on plain buffers: each against the oracle, and layouts."""

from __future__ import annotations

import os
import unittest
from array import array
from typing import Any

import normrope
from axes_calls import BASE, DIM, EPS, HEADS, ROWS, TOKENS, WORKS, AxesCall, Work, shaped
from built import build
from case import NormropeCase, ones

try:
    import numpy
except ImportError:
    numpy = None

#: How many elements may round another way than the oracle's, where the kernel rounds within.
_FLIPS = 0.01


class AxesCase(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("axes"))

    def run_call(self, call: AxesCall, **changed: Any) -> dict[str, array[int]]:
        """The results out of place, by side."""
        outputs = {side: array("H", [0]) * len(bits) for side, bits in call.heads.items()}
        given = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()}
        given |= {f"{side}_out": shaped(bits, *call.shape(side)) for side, bits in outputs.items()}
        results = normrope.qk_norm_rope(**given, **call.inputs(dtype=call.work.dtype, **changed))
        self.assertEqual(len(results), len(call.sides))
        for side, result in zip(call.sides, results, strict=True):
            self.assertIs(result, given[f"{side}_out"])
        return outputs

    def assert_right(self, call: AxesCall, outputs: dict[str, array[int]]) -> None:
        for side, output in outputs.items():
            largest, different = call.errors(side, output)
            self.assertLessEqual(largest, 1, side)
            if call.is_rounded:
                self.assertLessEqual(different, _FLIPS, side)


class Axes(AxesCase):
    def test_every_work_in_place_and_out_of_place(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call = AxesCall(work)
                before = {side: array("H", bits) for side, bits in call.heads.items()}
                outputs = self.run_call(call)
                self.assert_right(call, outputs)
                self.assertEqual(call.heads, before, "an input was written")
                copied = work.value == "copy" or (work.norm, work.rotary_dim) == ("none", 0)
                if not copied:
                    given = {side: shaped(bits, *call.shape(side)) for side, bits in before.items()}
                    normrope.qk_norm_rope_(**given, **call.inputs(dtype=work.dtype))
                    self.assertEqual(before, outputs)

    def test_the_oracle_tells_works_apart(self) -> None:
        for own, other in (
            (Work(), Work(norm_rounding="after_weight")),
            (Work(norm_rounding="after_weight"), Work(norm_rounding="before_weight")),
            (Work(angles="rows", rope_rounding="products"), Work(angles="rows", rope_rounding="sum")),
            (Work(sections=(12, 20)), Work(sections=(13, 19))),
        ):
            call, wrong = AxesCall(own), AxesCall(other)
            wrong.heads, wrong.weights, wrong.cos_sin = call.heads, call.weights, call.cos_sin
            outputs = self.run_call(call)
            with self.subTest(own=own), self.assertRaises(AssertionError):
                self.assert_right(wrong, outputs)

    def test_float32_weights_in_sglangs_place(self) -> None:
        call = AxesCall(Work(weight_dtype="float32"))
        want = self.run_call(call)
        flat = (call.heads[side][t * HEADS[side] * DIM :][: HEADS[side] * DIM] for t in range(TOKENS) for side in "qk")
        qkv = sum(flat, array("H"))
        weights = (call.weights["q_weight"], call.weights["k_weight"])
        normrope.fused_qk_norm_rope(
            *(qkv, HEADS["q"], HEADS["k"], 0, DIM, EPS, *weights, BASE, True),
            *(array("q", call.positions[0]), 1, 0, 0, 1),
            dtype="bf16",
        )
        row = (HEADS["q"] + HEADS["k"]) * DIM
        for token in range(TOKENS):
            q = qkv[token * row :][: HEADS["q"] * DIM]
            self.assertEqual(q, want["q"][token * len(q) :][: len(q)])

    def test_in_place_but_for_a_copy(self) -> None:
        call = AxesCall(Work(value="copy"))
        q, k, v = (shaped(call.heads[side], *call.shape(side)) for side in "qkv")
        want = self.run_call(call)
        v_out = array("H", [0]) * len(call.heads["v"])
        normrope.qk_norm_rope(
            q, k, v, q_out=q, k_out=k, v_out=shaped(v_out, *call.shape("v")), **call.inputs(dtype="bf16")
        )
        self.assertEqual({**call.heads, "v": v_out}, want)

    def test_v_may_be_left_out_where_the_kernel_works_on_it(self) -> None:
        call = AxesCall(Work(value="norm"))
        want = self.run_call(call)
        del call.heads["v"]
        call.sides = "qk"
        self.assertEqual(self.run_call(call), {side: want[side] for side in "qk"})


class Layouts(AxesCase):
    @unittest.skipIf(numpy is None, "needs numpy, as memoryviews have no gaps")
    def test_rows_and_positions_with_gaps(self) -> None:
        call = AxesCall(Work(weight="none", angles="rows", sections=(10, 12, 10)))
        rows = numpy.full((ROWS, 2 * DIM), 0x7FC0, "u2")  # not a number between rows
        rows[:, :DIM] = numpy.frombuffer(call.cos_sin, "u2").reshape(ROWS, DIM)
        positions = numpy.full((3, 10), 1 << 20, "i4")
        positions[:, :TOKENS] = call.positions
        outputs = self.run_call(call, cos_sin=rows[:, :DIM], positions=positions[:, :TOKENS])
        self.assertEqual(outputs, self.run_call(call))
        with self.refuses(
            "invalid-argument", "positions is a buffer with a stride of 3", "must be one in which the po"
        ):
            self.run_call(call, positions=numpy.array(call.positions, order="F"))
        with self.refuses("invalid-argument", "pair_axes is a buffer with a stride of 2", "must be contiguous"):
            self.run_call(call, pair_axes=numpy.zeros(64, "u1")[::2])

    def test_batches(self) -> None:
        for work in (Work(sections=(12, 20)), Work(weight="none", angles="tokens"), Work(weight="none", angles="rows")):
            call = AxesCall(work)
            want, given = self.run_call(call), call.inputs(dtype="bf16")
            axes = len(work.sections)
            if axes:
                given["positions"] = given["positions"].cast("B").cast("q", (axes, 2, TOKENS // 2))
            elif work.angles == "tokens":
                given["cos_sin"] = given["cos_sin"].cast("B").cast("H", (2, TOKENS // 2, DIM))
            else:
                given["positions"] = shaped(given["positions"], 2, TOKENS // 2)
            own = {side: array("H", bits) for side, bits in call.heads.items()}
            batch = {side: shaped(bits, 2, TOKENS // 2, HEADS[side], DIM) for side, bits in own.items()}
            with self.subTest(work=work):
                normrope.qk_norm_rope_(**batch, **given)
                self.assertEqual(own, want)

    def test_sequences_that_share_what_is_theirs(self) -> None:
        for work in (Work(sections=(12, 20)), Work(weight="none", angles="tokens")):
            call = AxesCall(work)
            want, given = self.run_call(call), call.inputs(dtype="bf16")
            name = "positions" if work.sections else "cos_sin"
            shared = given[name]
            shape = [*shared.shape]
            shape.insert(1 if work.sections else 0, 1)
            for own in (shared, shared.cast("B").cast(shared.format, shape)):
                twice = {side: array("H", bits) * 2 for side, bits in call.heads.items()}
                batch = {side: shaped(bits, 2, *call.shape(side)) for side, bits in twice.items()}
                with self.subTest(work=work, shape=own.shape):
                    normrope.qk_norm_rope_(**batch, **{**given, name: own})
                    self.assertEqual(twice, {side: bits * 2 for side, bits in want.items()})

    def test_one_token_of_each_sequence(self) -> None:
        call = AxesCall(Work(sections=(12, 20)))
        want, given = self.run_call(call), call.inputs(dtype="bf16")
        given["positions"] = given["positions"].cast("B").cast("q", (2, TOKENS, 1))
        own = {side: array("H", bits) for side, bits in call.heads.items()}
        normrope.qk_norm_rope_(
            **{side: shaped(bits, TOKENS, 1, HEADS[side], DIM) for side, bits in own.items()}, **given
        )
        self.assertEqual(own, want)


class Own(AxesCase):
    """An op whose stages fix what tensors would say."""

    def given(self, **changed: Any) -> dict[str, Any]:
        call = AxesCall(Work(weight_dtype="float32", angles="rows", rotary_dim=32, sections=(6, 10)))
        own = call.inputs(dtype="bf16")
        names = ("k_weight", "eps", "cos_sin", "positions", "pair_axes", "rope", "dtype")
        self.call = call
        return {**{name: own[name] for name in names}, **changed}

    def test_it_gives_what_the_oracle_says(self) -> None:
        given = self.given()
        own = array("H", self.call.heads["k"])
        normrope.Op("my_fixed").in_place(k=shaped(own, *self.call.shape("k")), **given)
        self.assertLessEqual(self.call.errors("k", own)[0], 1)

    def test_other_dtypes_and_sizes_are_refused(self) -> None:
        for change, part in (
            ({"k_weight": ones("bf16", DIM)}, "k_weight is a buffer of bf16. k_weight must be float32, as the kernel"),
            (
                {"cos_sin": shaped(array("f", [0] * 320), 10, 32)},
                "cos_sin is a buffer of float32. cos_sin must be bf16",
            ),
            (
                {"cos_sin": shaped(array("H", [0] * 640), 10, 64), "pair_axes": array("B", [0] * 32)},
                "cos_sin is a buffer of shape [10, 64]. cos_sin must be [rows, 32], as the kernel",
            ),
            (
                {"positions": shaped(array("q", [0] * 3 * TOKENS), 3, TOKENS)},
                "positions is a buffer of shape [3, 6]. positions must be of 2 axes, as the kernel",
            ),
            (
                {"pair_axes": None},
                "positions is a buffer of shape [2, 6]. positions must be [6]: [num_tokens]; several positions",
            ),
            (
                {"pair_axes": None, "positions": None, "cos_sin": shaped(array("H", [0] * 32 * TOKENS), TOKENS, 32)},
                "positions is None. positions must be given",
            ),
        ):
            given = self.given(**change)
            own = array("H", self.call.heads["k"])
            with self.subTest(change=list(change)), self.refuses("invalid-argument", part):
                normrope.Op("my_fixed").in_place(k=shaped(own, *self.call.shape("k")), **given)
            self.assertEqual(own, self.call.heads["k"], "something was written")


if __name__ == "__main__":
    unittest.main()
