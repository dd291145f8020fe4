"""What is refused of norms, biases, angles, position axes, v and rounding: each error names the value and the fix."""

from __future__ import annotations

import os
import unittest
from array import array
from typing import Any

import normrope
from axes_calls import DIM, HEADS, TOKENS, AxesCall, Work, shaped
from built import build
from case import NormropeCase, ones

TABLE = Work()
ROWS = Work(weight="none", angles="rows")
SEVERAL = Work(sections=(8, 12, 12))
SEVERAL_ROWS = Work(weight="none", angles="rows", sections=(10, 12, 10))
PAIR_AXES = normrope.pair_axes([16, 16])
AXES = "with 2 to 4 axes, as pair_axes is given"


def positions(*shape: int) -> memoryview:
    count = 1
    for size in shape:
        count *= size
    return shaped(array("i", [1] * count), *shape)


def rows(*shape: int, typecode: str = "H") -> memoryview:
    count = 1
    for size in shape:
        count *= size
    return shaped(array(typecode, [0] * count), *shape)


#: A work, what is changed, and what the error says.
SHAPES: list[tuple[Work, dict[str, Any], str]] = [
    (
        TABLE,
        {"positions": positions(3, TOKENS)},
        "positions is a buffer of shape [3, 6]. positions must be [6]: [num_tokens]; several positions",
    ),
    (SEVERAL, {"pair_axes": None}, "positions is a buffer of shape [3, 6]. positions must be [6]: [num_tokens]"),
    (
        TABLE,
        {"pair_axes": PAIR_AXES},
        f"positions is a buffer of 6 elements. positions must be [axes, num_tokens] {AXES}",
    ),
    (SEVERAL, {"positions": positions(TOKENS)}, "positions is a buffer of 6 elements. positions must be [axes, num_to"),
    (SEVERAL, {"positions": positions(1, TOKENS)}, "positions is a buffer of shape [1, 6]. positions must be [axes,"),
    (SEVERAL, {"positions": positions(5, TOKENS)}, "positions is a buffer of shape [5, 6]. positions must be [axes,"),
    (SEVERAL, {"positions": positions(TOKENS, 3)}, "positions is a buffer of shape [6, 3]. positions must be [axes,"),
    (SEVERAL, {"positions": positions(3, 2, 3)}, "positions is a buffer of shape [3, 2, 3]. positions must be [axes,"),
    (SEVERAL, {"positions": positions(3, 5)}, "positions is a buffer of shape [3, 5]. positions must be [3, 6]: [posi"),
    (SEVERAL, {"positions": None}, "positions is None. positions must be given, as pair_axes is"),
    (SEVERAL_ROWS, {"positions": None}, "positions is None. positions must be given, as pair_axes is"),
    (
        SEVERAL,
        {"pair_axes": normrope.pair_axes([16, 15])},
        "pair_axes is a buffer of 31 elements. pair_axes must be [32]: [rotary_dim / 2]",
    ),
    (SEVERAL, {"pair_axes": array("i", [0] * 32)}, "pair_axes is a buffer of int32. pair_axes must be uint8"),
    (ROWS, {"cos_sin": rows(DIM)}, "cos_sin is a buffer of 64 elements. cos_sin must be [rows, rotary_dim]"),
    (
        ROWS,
        {"cos_sin": rows(2, 3, DIM)},
        "cos_sin is a buffer of shape [2, 3, 64]. cos_sin must be [2, 64]: [rows, rot",
    ),
    (
        ROWS,
        {"positions": None},
        "cos_sin is a buffer of shape [9, 64]. cos_sin must be [6, 64]: [num_tokens, rotary_dim]; rows in another",
    ),
    (ROWS, {"cos_sin": rows(9, DIM, typecode="i")}, "cos_sin is a buffer of int32. cos_sin must be bf16 or float32"),
    (
        ROWS,
        {"positions": positions(3, TOKENS)},
        "positions is a buffer of shape [3, 6]. positions must be [6]: [num_tokens]; several positions",
    ),
    (
        TABLE,
        {"q_weight": ones("bf16", 2 * DIM)},
        "q_weight is a buffer of 128 elements. q_weight must be [64] or [3, 64]",
    ),
    (
        Work(norm="layer", has_bias=True),
        {"k_bias": shaped(ones("bf16", 3 * DIM), 3, DIM)},
        "k_bias is a buffer of shape [3, 64]. k_bias must be [64] or [2, 64]",
    ),
]

DISAGREE: list[tuple[Work, dict[str, Any], str]] = [
    (ROWS, {"rope_table": normrope.RopeTable(base=1e4, rotary_dim=DIM)}, "cos_sin is given. cos_sin must be left out"),
    (
        TABLE,
        {"k_weight": array("f", [1] * DIM)},
        "k_weight is a buffer of float32. k_weight must be bf16, as q_weight is",
    ),
    (
        Work(norm="layer", has_bias=True),
        {"q_bias": array("f", [1] * DIM)},
        "q_bias is a buffer of float32. q_bias must be bf16, as q_weight is",
    ),
    (
        TABLE,
        {"rope_table": None},
        "rope_table is None. rope_table must be given, or cos_sin, as positions is; or leave out positions",
    ),
    (Work(rotary_dim=0), {"rope": "neox"}, "rope_table is None. rope_table must be given, or cos_sin, as rope is"),
    (Work(rotary_dim=0), {"pair_axes": PAIR_AXES}, "rope_table is None. rope_table must be given, or cos_sin, as pair"),
    (TABLE, {"rope": None}, 'rope is None. rope must be one of "neox", "interleaved"'),
    (TABLE, {"eps": None}, "eps is None. eps must be given"),
    (TABLE, {"positions": None}, "positions is None. positions must be given"),
    (Work(norm="layer", has_bias=True), {"k_bias": None}, "k_bias is None. k_bias must be given"),
]

NOT_TAKEN: list[tuple[Work, dict[str, Any], str]] = [
    (TABLE, {"v": shaped(ones("bf16", TOKENS * DIM), TOKENS, 1, DIM)}, "v"),
    (TABLE, {"q_bias": ones("bf16", DIM)}, "q_bias"),
    (ROWS, {"q_weight": ones("bf16", DIM)}, "q_weight"),
    (ROWS, {"attention_factor": 1.0}, "attention_factor"),
    (Work("f16", norm="none", rotary_dim=32), {"eps": 1e-6}, "eps"),
    (Work("f16", norm="none", rotary_dim=32), {"k_weight": ones("f16", DIM)}, "k_weight"),
    (Work("f16", norm="none", rotary_dim=32), {"k_weight": array("f", [1] * DIM)}, "k_weight"),
    (Work(rotary_dim=0), {"attention_factor": 1.0}, "attention_factor"),
]

IMPOSSIBLE: list[tuple[Work, dict[str, Any], str]] = [
    (TABLE, {"norm": "layernorm"}, 'norm is "layernorm", and must be one of "rms", "layer", "none"'),
    (TABLE, {"value": "normed"}, 'value is "normed", and must be one of "none", "copy", "norm"'),
    (TABLE, {"norm_rounding": "scale"}, "normRounding scale is that of an RMS norm without a weight"),
    (ROWS, {"norm_rounding": "before_weight"}, "without a weight, normRounding before_weight is after_weight"),
    (
        Work(weight_dtype="float32"),
        {"norm_rounding": "before_weight"},
        "with a float32 weight, normRounding before_weight gives float32 heads",
    ),
    (TABLE, {"rope_rounding": "sum"}, "ropeRounding sum needs the model's own cosine and sine: angles cos_sin or cos"),
    (Work(weight="none", angles="rows", cos_dtype="float32"), {"rope_rounding": "products"}, "angles cos_sin"),
    (TABLE, {"rotary_at": "trailing"}, "the trailing 64 elements are the whole head"),
    (Work("f16", norm="none", rotary_dim=32), {"weight": "plain"}, "weight means nothing where norm is none"),
    (ROWS, {"cos_sin": rows(9, 63)}, "rotaryDim is 63, and must be a multiple of 2 from 0 to headDim"),
    (ROWS, {"cos_sin": rows(9, 128)}, "rotaryDim 128 is more than headDim 64"),
    (Work(rotary_dim=0, norm="none", value="norm"), {"value": "copy", "eps": None}, "no stage does anything"),
]


class Refusals(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("axes"))

    def refused(self, work: Work, change: dict[str, Any], code: str, *parts: str) -> None:
        call = AxesCall(work)
        own = {side: array("H", bits) for side, bits in call.heads.items()}
        given = {side: shaped(bits, *call.shape(side)) for side, bits in own.items()}
        with self.subTest(change=list(change), parts=parts), self.refuses(code, *parts):
            normrope.qk_norm_rope_(**{**given, **call.inputs(dtype=work.dtype), **change})
        self.assertEqual(own, call.heads, "something was written")

    def test_the_calls_themselves_are_not_refused(self) -> None:
        for work in {work for cases in (SHAPES, DISAGREE, NOT_TAKEN) for work, _, _ in cases}:
            call = AxesCall(work)
            given = {side: shaped(array("H", bits), *call.shape(side)) for side, bits in call.heads.items()}
            with self.subTest(work=work):
                normrope.qk_norm_rope_(**given, **call.inputs(dtype=work.dtype))

    def test_shapes(self) -> None:
        for work, change, part in SHAPES:
            self.refused(work, change, "invalid-argument", part)

    def test_arguments_that_disagree_or_are_missing(self) -> None:
        for work, change, part in DISAGREE:
            self.refused(work, change, "invalid-argument", part)

    def test_arguments_that_the_kernel_does_not_take(self) -> None:
        for work, change, name in NOT_TAKEN:
            part = f"{name} is given. {name} must be left out, as the kernel for headDim 64, rotaryDim"
            self.refused(work, change, "invalid-argument", part)

    def test_points_that_cannot_be(self) -> None:
        for work, change, part in IMPOSSIBLE:
            self.refused(work, change, "kernel-not-found", "None can be made: ", part)

    def test_a_batch_has_positions_of_several_ranks(self) -> None:
        call = AxesCall(SEVERAL)
        given = call.inputs(dtype="bf16")
        batch = {side: shaped(array("H", call.heads[side]), 2, TOKENS // 2, HEADS[side], DIM) for side in call.heads}
        for shape, part in (
            ((3, 2, 4), "positions must be [3, 3] or [3, 2, 3]: [position_axes, num_tokens] or [position"),
            ((3, 4), "positions must be [3, 3] or [3, 2, 3]: [position_axes, num_tokens] or [position"),
            ((3,), "positions must be [axes, num_tokens] or [axes, batch, num_tokens] with 2 to 4 axes"),
        ):
            with self.subTest(shape=shape), self.refuses("invalid-argument", part):
                normrope.qk_norm_rope_(**batch, **{**given, "positions": positions(*shape)})

    def test_a_copy_in_place(self) -> None:
        part = "v is given in place. v must be given with v_out, as the kernel for headDim 64"
        self.refused(Work(value="copy"), {}, "invalid-argument", part, "only copies v")
        call = AxesCall(Work(value="copy"))
        q, k, v = (shaped(array("H", call.heads[side]), *call.shape(side)) for side in "qkv")
        given = call.inputs(dtype="bf16")
        with self.refuses("invalid-argument", "v_out is its input. v_out must be elsewhere: this kernel only copies v"):
            normrope.qk_norm_rope(q, k, v, q_out=q, k_out=k, v_out=v, **given)
        with self.refuses("invalid-argument", "v_out is None. v_out must be given, as q_out is"):
            normrope.qk_norm_rope(q, k, v, q_out=q, k_out=k, **given)

    def test_a_missing_kernel_says_what_to_add(self) -> None:
        entry = '{ headDim: [64], rope: ["neox"], dtype: ["bf16"], norm: ["layer"], weightDtype: ["f32"], '
        call = AxesCall(Work(norm="layer", has_bias=True, weight_dtype="float32", value="norm"))
        given = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()}
        with self.refuses("kernel-not-found", f'{entry}bias: ["add"], value: ["norm"] }} to normrope.config.ts'):
            normrope.qk_norm_rope_(**given, **call.inputs(dtype="bf16"))


class Questions(NormropeCase):
    def test_axes_beyond_the_style(self) -> None:
        asked: dict[str, Any] = {"device": "cpu", "library": build("axes")}
        for yes in (
            {"norm": "layer", "bias": "add"},
            {"weight_dtype": "f32", "value": "copy"},
            {"angles": "cos_sin", "position_axes": 3, "weight": "none"},
            {"rotary_dim": 0},
        ):
            with self.subTest(yes):
                self.assertIsNone(normrope.why_not(64, True, "bf16", **asked, **yes))
                self.assertTrue(normrope.can_use_fused_qk_norm_rope(64, True, "bf16", **asked, **yes))
        for no, part in (
            ({"norm": "layer", "value": "copy"}, 'norm: ["layer"], value: ["copy"] }'),
            ({"position_axes": 5}, "positionAxes is 5, and must be a whole number from 1 to 4"),
            ({"rotary_dim": 0, "angles": "table"}, "angles means nothing where rotaryDim is 0"),
            ({"rope_rounding": "sum"}, "ropeRounding sum needs the model's own cosine and sine"),
            ({"pairs": 3}, "pairs is no axis of qk_norm_rope. Others are norm, weight, weight_dtype, bias"),
        ):
            self.assertIn(part, normrope.why_not(64, True, "bf16", **asked, **no) or "")
            self.assertFalse(normrope.can_use_fused_qk_norm_rope(64, True, "bf16", **asked, **no))


class PairAxes(NormropeCase):
    def test_bad_sections_and_layouts(self) -> None:
        for sections in ([], [1] * 5, [1.0], [True], [-1], [513], ["1"], 3, None, "12"):
            with self.subTest(sections), self.refuses("invalid-argument", "sections is ", "one to four whole numbers"):
                normrope.pair_axes(sections)
        for layout in ("section", None, 1):
            with self.refuses("invalid-argument", "layout is ", "layout must be one of sectioned, interleaved"):
                normrope.pair_axes([1], layout)


if __name__ == "__main__":
    unittest.main()
