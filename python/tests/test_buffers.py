"""The op on plain buffers with the CPU library: each argument against the oracle, and what is refused."""

from __future__ import annotations

import concurrent.futures
import ctypes
import itertools
import math
import unittest
from array import array
from typing import Any

import normrope
from built import build
from case import BufferCall, NormropeCase, ones
from forked import said_by_child
from reference import Style

try:
    import numpy
except ImportError:
    numpy = None

POSITIONS = array("i", [0, 3, 4097, 131_072])
GRID = [
    Style(head_dim, rotary_dim, is_neox, dtype)
    for head_dim, rotary_dim in ((64, 64), (64, 32), (128, 128), (128, 64), (256, 256), (256, 64))
    for is_neox in (True, False)
    for dtype in ("bf16", "f16")
]
YARN = {"base": 1e6, "factor": 4.0, "low": 20.0, "high": 37.0, "attention_factor": 1.1386}


class Op(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        self.library = build()

    def test_every_point(self) -> None:
        for style in GRID:
            with self.subTest(style=style):
                call = BufferCall(style, POSITIONS)
                call.run(library=self.library)
                self.assertLessEqual(call.error(), 1)

    def test_yarn(self) -> None:
        for is_neox in (True, False):
            call = BufferCall(Style(128, 128, is_neox, **YARN), POSITIONS)
            call.run(library=self.library)
            self.assertLessEqual(call.error(), 1)

    def test_low_and_high_mean_nothing_if_factor_is_1(self) -> None:
        call = BufferCall(Style(128, 128, True, low=math.nan, high=3), POSITIONS)
        call.run(library=self.library)
        self.assertLessEqual(call.error(), 1)

    def test_rotary_dim_is_head_dim_if_it_is_left_out(self) -> None:
        call = BufferCall(Style(64, 64, True), POSITIONS)
        call.run(library=self.library, rotary_dim=None)
        self.assertLessEqual(call.error(), 1)

    def test_positions_of_64_bits_far_out_and_negative(self) -> None:
        call = BufferCall(Style(128, 128, True, base=1e6), array("q", [-1, 2**40, -(2**31), 2**31 - 1]))
        call.run(library=self.library)
        # The rounding of the table adds up to |position| 2^-65 turns: 2e-7 at 2^40, within the allowance.
        self.assertLessEqual(call.error(), 1)

    def test_rows_may_be_apart(self) -> None:
        call = BufferCall(Style(64, 64, True), POSITIONS, gap=12)
        flat = (ctypes.c_uint16 * len(call.before)).from_buffer(call.qkv)
        rows = memoryview(flat).cast("B").cast("H", (len(POSITIONS), call.stride))
        with self.refuses("invalid-argument", "qkv is a buffer of shape [4, 460]. qkv must be [4, 448]"):
            call.run(rows, library=self.library)
        if numpy is not None:
            call.run(numpy.frombuffer(flat, dtype="u2").reshape(4, -1)[:, : call.row], library=self.library)
            self.assertLessEqual(call.error(), 1)

    def test_two_dimensional_buffers_and_read_only_weights(self) -> None:
        call = BufferCall(Style(64, 64, False), POSITIONS)
        call.weights = [memoryview(bytes(weight)).cast("H") for weight in call.weights]
        call.run(memoryview(call.qkv).cast("B").cast("H", (len(POSITIONS), call.row)), library=self.library)
        self.assertLessEqual(call.error(), 1)

    def test_ctypes_arrays(self) -> None:
        call, count = BufferCall(Style(64, 64, True), POSITIONS), len(POSITIONS)
        call.qkv = (ctypes.c_uint16 * len(call.before))(*call.before)
        call.run(library=self.library)
        self.assertLessEqual(call.error(), 1)
        rows = ((ctypes.c_uint16 * call.row) * count)()
        call.run(rows, library=self.library)
        with self.refuses("invalid-argument", "qkv is a buffer of shape"):
            call.run(((ctypes.c_uint16 * call.row) * (count + 1))(), library=self.library)

    def test_after_a_fork(self) -> None:
        call = BufferCall(Style(64, 64, True), array("i", range(512)))
        call.run(library=self.library)

        def run_again() -> None:
            again = BufferCall(Style(64, 64, True), array("i", range(512)))
            again.run(library=self.library)
            assert again.error() <= 1

        self.assertEqual(said_by_child(run_again), "")

    def test_no_tokens_and_no_heads_of_a_side(self) -> None:
        BufferCall(Style(64, 64, True), array("i")).run(library=self.library)
        for heads in ((2, 0, 0), (0, 2, 1), (0, 0, 3)):
            call = BufferCall(Style(64, 64, True), POSITIONS, heads)
            call.run(library=self.library)
            self.assertLessEqual(call.error(), 1)

    def test_threads(self) -> None:
        calls = [BufferCall(style, POSITIONS) for style in GRID * 2]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda call: call.run(library=self.library), calls))
        for call in calls:
            self.assertLessEqual(call.error(), 1)

    def test_more_tables_than_are_kept(self) -> None:
        for base in itertools.chain(range(10_000, 10_040), range(10_000, 10_003)):
            call = BufferCall(Style(64, 64, True, base=float(base)), POSITIONS)
            call.run(library=self.library)
            self.assertLessEqual(call.error(), 1)

    @unittest.skipIf(numpy is None, "needs numpy")
    def test_numpy_tells_f16_by_its_type(self) -> None:
        call = BufferCall(Style(64, 64, True, "f16"), POSITIONS)
        call.weights = [numpy.frombuffer(weight, dtype="f2") for weight in call.weights]
        call.run(numpy.frombuffer(call.qkv, dtype="f2").reshape(len(POSITIONS), -1), library=self.library, dtype=None)
        call.weights = [weight.view("u2") for weight in call.weights]
        self.assertLessEqual(call.error(), 1)


def good() -> dict[str, Any]:
    """A call that is right, by the names of its arguments."""
    return {
        **{"qkv": ones("bf16", 2 * 3 * 64), "num_heads_q": 1, "num_heads_k": 1, "num_heads_v": 1, "head_dim": 64},
        **{"eps": 1e-5, "q_weight": ones("bf16", 64), "k_weight": ones("bf16", 64), "base": 1e4, "is_neox": True},
        **{"position_ids": array("i", [0, 1]), "factor": 1.0, "low": 0.0, "high": 1.0, "attention_factor": 1.0},
        **{"rotary_dim": None, "dtype": "bf16"},
    }


BAD: list[tuple[dict[str, Any], str]] = [
    ({"num_heads_q": 2}, "qkv is a buffer of 384 elements. qkv must be 512 long: 2 tokens of 2 + 1 + 1 heads of 64"),
    ({"num_heads_q": -1}, "num_heads_q is -1. num_heads_q must be a whole number from 0 to 2147483647"),
    ({"num_heads_k": True}, "num_heads_k is True"),
    ({"num_heads_v": 1.0}, "num_heads_v is 1.0"),
    ({"num_heads_v": 2**31}, "num_heads_v is 2147483648"),
    ({"qkv": [1, 2]}, "qkv is a list of 2. qkv must be a buffer"),
    ({"qkv": array("i", [0] * 384)}, "qkv is a buffer of int32. qkv must be of bf16 or f16"),
    ({"qkv": array("f", [0] * 384)}, "qkv is a buffer of float32. qkv must be of bf16 or f16"),
    ({"qkv": array("d", [0] * 384)}, 'qkv is a buffer of type "d"'),
    ({"qkv": memoryview(bytes(768)).cast("H")}, "qkv is a buffer that is read-only"),
    (
        {"q_weight": ones("bf16", 32)},
        "q_weight is a buffer of 32 elements. q_weight must be [64] or [1, 64]: [head_dim]",
    ),
    ({"k_weight": array("i", [0] * 64)}, "k_weight is a buffer of int32. k_weight must be bf16"),
    ({"q_weight": None}, "q_weight is None"),
    ({"q_weight": memoryview(ones("bf16", 128))[::2]}, "q_weight is a buffer with a stride of 2"),
    ({"position_ids": array("h", [0, 1])}, "position_ids is a buffer of"),
    ({"position_ids": array("I", [0, 1])}, "position_ids is a buffer of"),
    ({"position_ids": memoryview(array("i", [0, 9, 1, 9]))[::2]}, "position_ids is a buffer with a stride of 2"),
    (
        {"position_ids": memoryview(array("i", range(6))).cast("B").cast("i", (3, 2))},
        "position_ids is a buffer of shape [3, 2]. position_ids must be [num_tokens]: mRoPE",
    ),
    ({"is_neox": 1}, "is_neox is 1. is_neox must be True or False"),
    ({"base": 0}, "base is 0. base must be a positive number"),
    ({"base": "10000"}, 'base is "10000". base must be a positive number'),
    ({"base": math.inf}, "base is inf"),
    ({"factor": "8"}, 'factor is "8". factor must be a number'),
    ({"factor": math.nan}, "factor is nan. factor must be a positive number"),
    ({"factor": 2.0, "low": 3.0}, "high is 1.0. high must be at least low, 3.0"),
    ({"factor": 2.0, "low": math.nan}, "low is nan. low must be a finite number"),
    ({"attention_factor": 0.0}, "attention_factor is 0.0. attention_factor must be a positive number"),
    ({"attention_factor": 1e39}, "attention_factor is 1e+39"),
    ({"eps": math.nan}, "eps is nan. eps must be a number that float32 can hold"),
    ({"eps": -1e-6}, "eps is -1e-06"),
    ({"eps": 1e-39}, "eps is 1e-39. eps must be 0, or a finite number from 2^-126 on"),
    ({"eps": 1e-50}, "eps is 1e-50. eps must be a number that float32 can hold"),
    ({"dtype": None}, "dtype is None"),
    *(({name: 10**400}, f"{name} is 1000000000") for name in ("factor", "base", "eps")),
    ({"base": 5e-324}, "base is 5e-324. base must be one whose frequencies float64 can hold"),
    ({"rotary_dim": 0}, "rotary_dim is 0. rotary_dim must be an even number from 2"),
    ({"dtype": "f32"}, 'dtype is "f32". dtype must be "bf16" or "f16"'),
]

IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"rotary_dim": 63}, "rotaryDim is 63, and must be a multiple of 2 from 0 to headDim (at most 1024)"),
    ({"rotary_dim": 128}, "None can be made: rotaryDim 128 is more than headDim 64"),
    ({"head_dim": "64"}, 'headDim is "64", and must be a multiple of 8 from 16 to 1024'),
    ({"head_dim": -64}, "headDim is -64"),
    ({"head_dim": True}, "headDim is True"),
    ({"head_dim": 64.0}, "headDim is 64.0"),
]


class Refusals(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        self.options = {"library": build()}

    def test_a_good_call_is_not_refused(self) -> None:
        normrope.fused_qk_norm_rope(**good(), **self.options)

    def test_bad_arguments(self) -> None:
        for change, message in BAD:
            with self.subTest(change=change):
                given = {**good(), **change}
                before = bytes(given["qkv"]) if isinstance(given["qkv"], array) else None
                with self.refuses("invalid-argument", message):
                    normrope.fused_qk_norm_rope(**given, **self.options)
                if before is not None:
                    self.assertEqual(bytes(given["qkv"]), before, "something was written")

    def test_inputs_over_outputs_are_refused(self) -> None:
        given = good()
        flat = memoryview(given["qkv"])
        positions = flat.cast("B").cast("i")[:2]
        for name, value in (("q_weight", flat[:64]), ("k_weight", flat[256:320]), ("position_ids", positions)):
            with self.subTest(name=name), self.refuses("invalid-argument", f"{name} is over the output of"):
                normrope.fused_qk_norm_rope(**{**given, name: value}, **self.options)

    @unittest.skipIf(numpy is None, "needs numpy")
    def test_numpy_types_that_are_not_what_dtype_says(self) -> None:
        for name in ("qkv", "q_weight", "k_weight"):
            value, message = numpy.zeros(len(good()[name]), "f2"), f'dtype is "bf16". dtype must be f16, as {name} is'
            with self.subTest(name=name), self.refuses("invalid-argument", message):
                normrope.fused_qk_norm_rope(**{**good(), name: value}, **self.options)
        for dtype in ("V0", "V2", "O", "f4", "M8[s]", [("a", "u2")]):
            with self.subTest(dtype=dtype), self.refuses("invalid-argument", "qkv "):
                normrope.fused_qk_norm_rope(**{**good(), "qkv": numpy.empty(384, dtype)}, **self.options)

    def test_impossible_points_are_refused(self) -> None:
        for change, message in IMPOSSIBLE:
            with self.subTest(change=change), self.refuses("kernel-not-found", message):
                normrope.fused_qk_norm_rope(**{**good(), **change}, **self.options)

    def test_errors_of_the_c_library_keep_its_words(self) -> None:
        qkv = memoryview(bytearray(2 * 3 * 64 * 2 + 2))[2:].cast("H")
        with self.refuses("invalid-argument", "qkv is at 0x", "a multiple of 8 bytes"):
            normrope.fused_qk_norm_rope(**{**good(), "qkv": qkv}, **self.options)

    def test_an_error_can_be_pickled(self) -> None:
        import pickle

        error = normrope.NormropeError("device-error", "what", "Fix")
        copy = pickle.loads(pickle.dumps(error))
        self.assertEqual((str(copy), copy.code, copy.fix), ("what. Fix", "device-error", "Fix"))


if __name__ == "__main__":
    unittest.main()
