"""The KV cache and FP8 on plain buffers: every layout of a cache against the oracle, and where results go."""

from __future__ import annotations

import os
import unittest
from array import array
from dataclasses import replace
from typing import Any

import normrope
from built import build
from cache_calls import BEFORE, DIM, FP8_WORKS, HEADS, LAYOUTS, SLOTS, TOKENS, WORKS, CacheCall, Work, shaped
from case import NormropeCase
from reference import decode_e4m3
from strided import strided_buffers

try:
    import ml_dtypes
    import numpy
except ImportError:
    ml_dtypes = None


class CacheCase(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("caches"))
        patched = strided_buffers()
        patched.__enter__()
        self.addCleanup(patched.__exit__, None, None, None)

    def given(self, call: CacheCall, **changed: Any) -> dict[str, Any]:
        """Heads and inputs."""
        heads = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()}
        return {**heads, **call.inputs(), **changed}

    def assert_outputs(self, call: CacheCall, outputs: dict[str, Any]) -> None:
        for side, output in outputs.items():
            self.assertLessEqual(call.output_error(side, output), 1, side)

    def assert_heads(self, call: CacheCall, before: dict[str, array[int]], sides: str) -> None:
        """Those of the sides hold results; the others are as they were."""
        for side, heads in call.heads.items():
            if side in sides:
                own = heads[:]
                call.heads[side] = before[side]
                self.assertLessEqual(call.output_error(side, own), 1, side)
            else:
                self.assertEqual(heads, before[side], f"{side} was written")


class Caches(CacheCase):
    def test_out_of_place(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call, before = CacheCall(work), CacheCall(work).heads
                outputs = call.outputs(call.sides_with_output)
                into = call.outputs_given(outputs)
                results = normrope.qk_norm_rope(**self.given(call), **into)
                self.assertEqual(len(results), 3)
                for side, result in zip("qkv", results, strict=True):
                    self.assertIs(result, into.get(f"{side}_out"))
                self.assert_outputs(call, outputs)
                self.assertLessEqual(call.cache_error(), 1)
                self.assertEqual(call.heads, before, "an input was written")

    def test_in_place(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call, before = CacheCall(work), CacheCall(work).heads
                self.assertIsNone(normrope.qk_norm_rope_(**self.given(call)))
                self.assert_heads(call, before, call.sides_with_output)
                self.assertLessEqual(call.cache_error(), 1)

    def test_only_the_cache_is_written_of_k_and_v(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call, before = CacheCall(work), CacheCall(work).heads
                q_out = call.outputs("q")
                into = call.outputs_given(q_out)
                results = normrope.qk_norm_rope(**self.given(call), **into, cache_only=True)
                self.assertEqual(results, (into["q_out"], None, None))
                self.assert_outputs(call, q_out)
                self.assertLessEqual(call.cache_error(), 1)
                self.assertEqual(call.heads, before, "an input was written")
                again = CacheCall(work)
                normrope.qk_norm_rope_(**self.given(again), cache_only=True)
                self.assert_heads(again, before, "q")
                for side, cache in call.caches.items():
                    self.assertEqual(cache.flat, again.caches[side].flat)

    def test_fp8_outputs(self) -> None:
        for work in FP8_WORKS:
            with self.subTest(work=work):
                call = CacheCall(work)
                outputs = call.outputs(call.sides_with_output)
                sides = "qkv" if work.cache != "none" or work.value != "none" else "qk"
                given = {name: own for name, own in self.given(call).items() if name[0] != "v" or "v" in sides}
                given["value"] = work.value
                normrope.qk_norm_rope(**given, **call.outputs_given(outputs), out_dtype="e4m3")
                self.assert_outputs(call, outputs)
                self.assertLessEqual(call.cache_error(), 1)

    def test_scales_divide(self) -> None:
        """The equation by hand: 3 stored at a scale of 2 is 1.5, and 1000 is as much as there is."""
        call = CacheCall(Work("e4m3"))
        three, thousand = 0x4040, 0x447A  # in bf16
        call.heads["v"][: 2 * DIM] = array("H", [three] * DIM + [thousand] * DIM)
        normrope.qk_norm_rope_(**self.given(call, v_cache_scale=array("f", [2.0])))
        cache, slot = call.caches["v"], SLOTS[0]
        values = [decode_e4m3(cache.flat[cache.at(slot // 4, slot % 4, head, 0)]) for head in range(2)]
        self.assertEqual(values, [1.5, 448.0])

    def test_the_oracle_tells_works_apart(self) -> None:
        scaled = Work("e4m3", scales="heads")
        pairs = ((scaled, replace(scaled, scales="[1]")), (Work("e4m3"), scaled), (Work(), Work(value="norm")))
        for own, other in pairs:
            call, wrong = CacheCall(own), CacheCall(other)
            wrong.heads, wrong.weights = call.heads, call.weights
            normrope.qk_norm_rope_(**self.given(call), cache_only=True)
            self.assertLessEqual(call.cache_error(), 1)
            wrong.caches = call.caches
            with self.subTest(own=own):
                self.assertGreater(wrong.cache_error(), 1)

    def test_v_may_be_left_out_with_its_cache(self) -> None:
        call, before = CacheCall(Work("e4m3")), CacheCall(Work("e4m3")).heads
        del call.caches["v"]
        given = {name: own for name, own in self.given(call).items() if name != "v"}
        normrope.qk_norm_rope_(**given)
        self.assert_heads(call, before, "qk")
        self.assertLessEqual(call.cache_error(), 1)

    def test_no_tokens(self) -> None:
        call = CacheCall(Work())
        given = self.given(call, slots=array("q"), positions=array("q"))
        normrope.qk_norm_rope_(**{**given, **{side: given[side][:0] for side in "qkv"}})
        for cache in call.caches.values():
            self.assertEqual(set(cache.flat), {BEFORE["bf16"]})

    def test_a_token_without_a_slot_is_in_no_cache(self) -> None:
        call = CacheCall(Work())
        normrope.qk_norm_rope_(**self.given(call, slots=array("q", [-1] * TOKENS)))
        for cache in call.caches.values():
            self.assertEqual(set(cache.flat), {BEFORE["bf16"]})


class Batches(CacheCase):
    def test_sequences_of_a_batch(self) -> None:
        """One launch, and a launch for each sequence where heads come before tokens."""
        tokens, dtype = TOKENS // 3, "H"
        for heads_dim in (-2, -3):
            for layout in LAYOUTS:
                want, call = (CacheCall(Work(layout=layout)) for _ in range(2))
                normrope.qk_norm_rope_(**self.given(want))
                shapes = {side: (3, tokens, HEADS[side], DIM) for side in HEADS}
                own = {side: shaped(bits, *shapes[side]) for side, bits in call.heads.items()}
                if heads_dim == -3:
                    turned = {side: array(dtype, bits) for side, bits in call.heads.items()}
                    for side, bits in turned.items():
                        for i in range(0, len(bits), DIM):
                            token, head = divmod(i // DIM, HEADS[side])
                            sequence, at = divmod(token, tokens)
                            to = ((sequence * HEADS[side] + head) * tokens + at) * DIM
                            bits[to : to + DIM] = call.heads[side][i : i + DIM]
                        own[side] = shaped(bits, 3, HEADS[side], tokens, DIM)
                inputs = call.inputs()
                inputs |= {name: shaped(inputs[name], 3, tokens) for name in ("slots", "positions")}
                with self.subTest(layout=layout.name, heads_dim=heads_dim):
                    normrope.qk_norm_rope_(**own, **inputs, heads_dim=heads_dim, cache_only=True)
                    for side, cache in call.caches.items():
                        self.assertEqual(cache.flat, want.caches[side].flat)

    def test_slots_of_all_sequences_must_be_given(self) -> None:
        call = CacheCall(Work())
        own = {side: shaped(bits, 3, TOKENS // 3, HEADS[side], DIM) for side, bits in call.heads.items()}
        given = {**own, **call.inputs(positions=array("q", [1, 2, 3]))}
        for slots in (array("q", [0, 1, 2]), shaped(array("q", [0, 1, 2]), 1, 3), array("q", SLOTS)):
            with self.refuses("invalid-argument", "slots is a buffer of", "must be [3, 3]: [batch, num_tokens]"):
                normrope.qk_norm_rope_(**{**given, "slots": slots})


class Own(CacheCase):
    def test_k_alone_and_only_its_cache(self) -> None:
        """A call out of place that makes no tensor works on buffers, too."""
        for cache in ("same", "e4m3"):
            call, op = CacheCall(Work(cache)), normrope.Op("my_k")
            del call.caches["v"]
            names = ("k", "k_weight", "k_cache", "slots", "positions", "rope_table", "eps", "rope", "dtype")
            given = {name: own for name, own in self.given(call).items() if name in names}
            with self.subTest(cache=cache):
                self.assertEqual(op(**given, cache_only=True), (None, None, None))
                self.assertLessEqual(call.cache_error(), 1)
                self.assertEqual(call.heads, CacheCall(Work(cache)).heads, "an input was written")
                part = "k_out is None. k_out must be given, as of buffers none can be made"
                with self.refuses("invalid-argument", part):
                    op(**given)
                op.in_place(**given)
                self.assert_heads(call, CacheCall(Work(cache)).heads, "k")

    def test_an_op_that_fixes_the_dtypes_of_its_caches(self) -> None:
        style = replace(Work().style, eps=0.0)
        call = CacheCall(Work("e4m3", style=style))
        names = ("q", "k", "v", "v_cache", "slots", "positions", "rope_table", "rope", "dtype")
        given = {name: own for name, own in self.given(call).items() if name in names}
        k_cache = CacheCall(Work()).caches["k"]
        op = normrope.Op("my_fixed")
        op.in_place(**given, k_cache=k_cache, cache_only=True)
        del call.caches["k"]
        self.assertLessEqual(call.cache_error(), 1)
        self.assertNotEqual(set(k_cache.flat), {BEFORE["bf16"]})
        part = "k_cache is a buffer of e4m3. k_cache must be bf16, as the kernel for headDim 64"
        with self.refuses("invalid-argument", part):
            op.in_place(**given, k_cache=CacheCall(Work("e4m3")).caches["k"])


class Numpy(CacheCase):
    @unittest.skipIf(ml_dtypes is None, "needs ml_dtypes")
    def test_types_of_ml_dtypes(self) -> None:
        call, want = CacheCall(Work("e4m3")), CacheCall(Work("e4m3"))
        normrope.qk_norm_rope_(**self.given(want))
        caches = {side: numpy.zeros(own.shape, ml_dtypes.float8_e4m3fn) for side, own in call.caches.items()}
        given = self.given(call, dtype=None, k_cache=caches["k"], v_cache=caches["v"])
        for name in ("q", "k", "v", "q_weight", "k_weight"):
            given[name] = numpy.asarray(given[name]).view(ml_dtypes.bfloat16)
        normrope.qk_norm_rope_(**given)
        for slot in (slot for slot in SLOTS if slot >= 0):
            start = want.caches["k"].at(slot // 4, slot % 4, 0, 0)
            own = caches["k"][slot // 4, slot % 4].view("u1").ravel().tolist()
            self.assertEqual(own, list(want.caches["k"].flat[start : start + 2 * DIM]))


class Questions(NormropeCase):
    def test_why_not(self) -> None:
        asked: dict[str, Any] = {"device": "cpu", "library": build("caches")}
        for yes in ({"cache": "same"}, {"cache": "e4m3", "out": "e4m3", "value": "norm"}):
            self.assertIsNone(normrope.why_not(64, True, "bf16", **asked, **yes))
        self.assertIn('cache: ["e4m3"] }', normrope.why_not(64, False, "bf16", **asked, cache="e4m3") or "")
        said = 'cache is "fp8", and must be one of "none", "same", "e4m3"; did you mean "e4m3"?'
        self.assertIn(said, normrope.why_not(64, True, "bf16", **asked, cache="fp8") or "")


if __name__ == "__main__":
    unittest.main()
