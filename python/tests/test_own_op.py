"""`normrope.Op` on plain buffers: each sentence against the oracle, what a call takes, and what is refused."""

from __future__ import annotations

import os
import shutil
import unittest
from array import array
from typing import Any

import normrope
from built import build
from case import NormropeCase, ones
from reference import Style
from sentence_calls import HEADS, ONLY_NORM, POSITIONS, Sentence, SentenceCall, every_sentence, shaped

STYLE = Style(64, 64, True, eps=1e-5)


class Own(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("sentences"))

    def given(self, call: SentenceCall, heads: dict[str, array[int]], suffix: str = "") -> dict[str, Any]:
        return {f"{side}{suffix}": shaped(bits, *call.shape(side)) for side, bits in heads.items()}

    def test_every_sentence_in_place_and_out_of_place(self) -> None:
        for sentence in every_sentence():
            for weight_heads in (False, True):
                with self.subTest(sentence=sentence, weight_heads=weight_heads):
                    call, op = SentenceCall(sentence, weight_heads), normrope.Op(sentence.name)
                    own = {side: array("H", bits) for side, bits in call.heads.items()}
                    outputs = {side: array("H", [0]) * len(bits) for side, bits in own.items()}
                    given, into = self.given(call, own), self.given(call, outputs, "_out")
                    inputs = call.inputs(dtype=sentence.style.dtype)
                    results = op(**given, **into, **inputs)
                    self.assertEqual(len(results), 3)
                    for side, result in zip("qkv", results, strict=True):
                        self.assertIs(result, into.get(f"{side}_out"))
                    self.assertLessEqual(call.error(outputs), 1)
                    self.assertEqual(own, call.heads, "an input was written")
                    self.assertIsNone(op.in_place(**given, **inputs))
                    self.assertEqual(own, outputs)

    def test_sides_may_be_left_out_and_any_may_be_the_first(self) -> None:
        whole = SentenceCall(Sentence("my_v", STYLE))
        op = normrope.Op("my_v")
        want = {side: array("H", bits) for side, bits in whole.heads.items()}
        op.in_place(**self.given(whole, want), **whole.inputs(dtype="bf16"))
        for sides in ("q", "k", "v", "qv", "kv"):
            own = {side: array("H", whole.heads[side]) for side in sides}
            inputs = whole.inputs(dtype="bf16")
            for side in set("qk") - set(sides):
                del inputs[f"{side}_weight"]
            with self.subTest(sides=sides):
                op.in_place(**self.given(whole, own), **inputs)
                self.assertEqual(own, {side: want[side] for side in sides})

    def test_heads_by_place_rows_and_sequences(self) -> None:
        call = SentenceCall(Sentence("my_k", Style(64, 32, True, eps=1e-5)))
        op, inputs, count = normrope.Op("my_k"), call.inputs(dtype="bf16"), len(POSITIONS)
        rows = array("H", call.heads["k"])
        op.in_place(None, shaped(rows, count, HEADS["k"] * 64), head_dim=64, **inputs)
        self.assertLessEqual(call.error({"k": rows}), 1)
        # Two sequences of one head each, all of whose tokens no one stride reaches: heads lie in front.
        heads, want = (array("H", call.heads["k"]) for _ in range(2))
        op.in_place(k=shaped(heads, 1, HEADS["k"], count, 64), heads_dim=-3, **inputs)
        op.in_place(k=shaped(want, HEADS["k"], count, 1, 64), **inputs)
        self.assertEqual(heads, want)

    def test_no_tokens(self) -> None:
        empty = {side: memoryview(array("H", [0] * 64)).cast("B").cast("H", (1, 1, 64))[:0] for side in "qk"}
        weights = {f"{side}_weight": ones("bf16", 64) for side in "qk"}
        normrope.Op(ONLY_NORM).in_place(**empty, **weights, eps=1e-5, dtype="bf16")

    def test_where_the_library_is_found(self) -> None:
        folder = os.environ.pop("NORMROPE_LIBRARY")
        call = SentenceCall(Sentence(ONLY_NORM, Style(64, 0, True, eps=1e-5), "none"))

        def runs(op: normrope.Op) -> None:
            own = {side: array("H", bits) for side, bits in call.heads.items()}
            op.in_place(**self.given(call, own), **call.inputs(dtype="bf16"))
            self.assertLessEqual(call.error(own), 1)

        runs(normrope.Op(ONLY_NORM, folder))
        runs(normrope.Op(ONLY_NORM, build("sentences") / "cpu" / "libnormrope.so"))
        with self.refuses("library-not-found", f'no library for cpu that could hold the op "{ONLY_NORM}"', "Run `norm"):
            runs(normrope.Op(ONLY_NORM))
        shutil.copytree(build("sentences") / "cpu", self.folder / "build" / "cpu")
        runs(normrope.Op(ONLY_NORM))
        self.assertEqual(repr(normrope.Op("my_v", "build")), "Op('my_v', library='build')")

    def test_the_op_that_ships_by_its_name(self) -> None:
        q, again = (shaped(ones("bf16", 64), 1, 1, 64) for _ in range(2))
        table = normrope.RopeTable(base=1e4, rotary_dim=64)
        inputs: dict[str, Any] = {"positions": array("i", [7]), "rope_table": table, "eps": 1e-6, "rope": "neox"}
        inputs |= {"q_weight": ones("bf16", 64), "dtype": "bf16"}
        normrope.Op("qk_norm_rope", build()).in_place(q, **inputs)
        normrope.qk_norm_rope_(again, library=build(), **inputs)
        self.assertEqual(q, again)


class Refusals(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        self.library = build("sentences")
        os.environ["NORMROPE_LIBRARY"] = str(self.library)

    def refused(self, sentence: Sentence, change: dict[str, Any], code: str, *parts: str) -> None:
        call = SentenceCall(sentence)
        own = {side: array("H", bits) for side, bits in call.heads.items()}
        given = {side: shaped(bits, *call.shape(side)) for side, bits in own.items()}
        given |= call.inputs(dtype=sentence.style.dtype)
        for name, value in change.items():
            given[name] = value
        with self.subTest(change=list(change), parts=parts), self.refuses(code, *parts):
            normrope.Op(sentence.name).in_place(**given)
        self.assertEqual(own, call.heads, "something was written")

    def test_names(self) -> None:
        for name, change, parts in (
            (
                "my_v",
                {"gain": ones("bf16", 64)},
                (
                    "gain is no argument of my_v. Its arguments are q, q_out, q_weight, k, k_out, k_weight, v, v_out, "
                    "positions, rope_table, attention_factor, eps, rope, norm, weight, norm_rounding, rotary_at, "
                    "rope_rounding, head_dim, heads_dim, dtype and pdl",
                ),
            ),
            (
                "my_k",
                {"rotary_dim": 64},
                ("rotary_dim is no argument of my_k. Its arguments are k, k_out, k_weight, positions",),
            ),
            ("my_only_rope", {"weight": "none"}, ("weight is no argument of my_only_rope",)),
            ("my_v", {"v_out": ones("bf16", 64)}, ("v_out is given. v_out must be left out, as the call is in place",)),
        ):
            style = Style(64, 32, True) if name == "my_k" else STYLE
            self.refused(Sentence(name, style), change, "invalid-argument", *parts)

    def test_arguments_that_the_op_lacks_are_refused(self) -> None:
        weight, normed = ones("bf16", 64), Sentence(ONLY_NORM, Style(64, 0, True), "none")
        table = normrope.RopeTable(base=1e4, rotary_dim=64)
        where = "as the kernel for headDim 64, dtype bf16, weight none does not take it"
        for sentence, change, part in (
            (normed, {"q_weight": weight}, f"q_weight is given. q_weight must be left out, {where}"),
            (normed, {"positions": POSITIONS}, "positions is given. positions must be left out"),
            (normed, {"rope_table": table}, "rope_table is given. rope_table must be left out"),
            (normed, {"attention_factor": 1.0}, "attention_factor is given. attention_factor must be left out"),
            (Sentence("my_weightless", STYLE), {"k_weight": weight}, "k_weight is given. k_weight must be left out"),
            (Sentence("my_v4", STYLE), {"q_weight": weight}, "q_weight is given. q_weight must be left out"),
            (Sentence("my_v", STYLE), {"v_weight": weight}, "v_weight is given. v_weight must be left out"),
            (Sentence("my_only_rope", STYLE), {"eps": 1e-6}, "eps is given. eps must be left out"),
            (
                Sentence("my_only_rope", STYLE),
                {"v": shaped(ones("bf16", 5 * 64), 5, 1, 64)},
                "v is given. v must be left out, as my_only_rope works on q and k",
            ),
        ):
            self.refused(sentence, change, "invalid-argument", part)

    def test_a_side_that_the_op_lacks_is_refused(self) -> None:
        call = SentenceCall(Sentence("my_v4", STYLE))
        given = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()}
        heads = shaped(ones("bf16", 5 * 64), 5, 1, 64)
        for name, value in (("v", heads), ("v_out", heads), ("v_weight", ones("bf16", 64))):
            part = f"{name} is given. {name} must be left out, as my_v4 works on q and k"
            with self.subTest(name=name), self.refuses("invalid-argument", part):
                outputs = {} if name == "v_out" else {f"{side}_out": heads for side in given}
                normrope.Op("my_v4")(**given, **outputs, **{name: value}, **call.inputs(dtype="bf16"))

    def test_missing_arguments_are_refused(self) -> None:
        both = Sentence("my_rope_norm", STYLE)
        for sentence, change, part in (
            (both, {"positions": None}, "positions is None. positions must be given"),
            (both, {"rope_table": None}, "rope_table is None. rope_table must be given"),
            (both, {"k_weight": None}, "k_weight is None. k_weight must be given"),
            (both, {"eps": None}, "eps is None. eps must be given"),
            (both, {"rope": None}, 'rope is None. rope must be one of "neox", "interleaved"'),
            (both, {"q": None, "q_weight": None, "k": None, "k_weight": None}, "q is None. q must be given, as my_ro"),
            (both, {"q": None}, "q_weight is given. q_weight must be left out, as q is"),
            (
                Sentence("my_k", Style(64, 32, True)),
                {"rope_table": None},
                "rope_table is None. rope_table must be given",
            ),
            (
                Sentence("my_k", Style(64, 32, True)),
                {"k": None, "k_weight": None},
                "k is None. k must be given, as my_k",
            ),
        ):
            self.refused(sentence, change, "invalid-argument", part)

    def test_arguments_that_disagree_are_refused(self) -> None:
        table, k = normrope.RopeTable(base=1e4, rotary_dim=64), Sentence("my_k", Style(64, 32, True))
        self.refused(k, {"rope_table": table}, "invalid-argument", "rope_table", "32", "must be 16")
        v = shaped(ones("bf16", 4 * 64), 4, 1, 64)
        part = "v is a buffer of shape [4, 1, 64]. v must be [5, 1, 64]: [num_tokens, num_heads, head_dim]"
        self.refused(Sentence("my_v", STYLE), {"v": v}, "invalid-argument", part)
        positions = array("i", [1, 2])
        self.refused(k, {"positions": positions}, "invalid-argument", "positions is a buffer of 2 elements")

    def test_missing_points_are_refused(self) -> None:
        both = Sentence("my_rope_norm", STYLE)
        self.refused(
            both, {"rope": "neo"}, "kernel-not-found", 'rope is "neo", and must be one of "neox", "interleaved"'
        )
        line = '{ headDim: [64], rope: ["neox"], dtype: ["bf16"], weight: ["one_plus"] }'
        parts = ("holds no kernel of my_rope_norm for headDim 64", f"Add the entry {line} to the space of my_rope_norm")
        self.refused(both, {"weight": "one_plus"}, "kernel-not-found", *parts, "is not compiled on first use")
        # rotaryDim is fixed by the op, and no axis of it.
        change = {"k": shaped(ones("bf16", 5 * 16), 5, 1, 16), "k_weight": ones("bf16", 16)}
        parts = ("of my_k for headDim 16, rope neox", "None can be made: rotaryDim 32 is more than headDim 16")
        self.refused(Sentence("my_k", Style(64, 32, True)), change, "kernel-not-found", *parts)

    def test_missing_ops_are_refused(self) -> None:
        q = shaped(ones("bf16", 64), 1, 1, 64)
        with self.refuses("kernel-not-found", 'libnormrope.so holds no op "my_other"', "Its ops are my_k, my_one_plus"):
            normrope.Op("my_other").in_place(q, dtype="bf16")
        for name, library, part in ((7, None, "name is 7"), ("my_v", 7, "library is 7. library must be a path")):
            with self.refuses("invalid-argument", part):
                normrope.Op(name, library)

    def test_results_of_buffers_cannot_be_made(self) -> None:
        call = SentenceCall(Sentence("my_k", Style(64, 32, True)))
        k = shaped(call.heads["k"], *call.shape("k"))
        with self.refuses("invalid-argument", "k_out is None. k_out must be given, as of buffers none can be made"):
            normrope.Op("my_k")(k=k, **call.inputs(dtype="bf16"))

    def test_the_functions_say_that_the_library_lacks_their_op(self) -> None:
        q, weight = shaped(ones("bf16", 64), 1, 1, 64), ones("bf16", 64)
        table = normrope.RopeTable(base=1e4, rotary_dim=64)
        given = {"q_weight": weight, "positions": array("i", [1]), "rope_table": table, "eps": 1e-6, "rope": "neox"}
        parts = ("holds my_k, my_one_plus", "and no op that does what qk_norm_rope does", "normrope.Op calls")
        with self.refuses("library-invalid", *parts):
            normrope.qk_norm_rope_(q, **given, dtype="bf16")
        self.assertIn(parts[1], normrope.why_not(64, True, "bf16", device="cpu") or "")


if __name__ == "__main__":
    unittest.main()
