"""The KV cache and FP8 on tensors: what is to hold on any device. The test modules of the CPU and of CUDA run these."""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import normrope
from cache_calls import FP8_WORKS, LAYOUTS, WORKS, CacheCall, Work
from cache_torch_calls import FP8, TensorCall, bits_of
from case import DeviceCase
from normrope import _torch_launch, _torch_outputs

#: One of each kind, with all that a call may have.
SOME = (
    Work(),
    Work(layout=LAYOUTS[2], value="norm"),
    Work("e4m3", scales="heads", layout=LAYOUTS[1]),
    Work("e4m3", "e4m3", "norm", "heads"),
    Work("e4m3", "e4m3", "none", "[1]"),
)


class CacheCases(DeviceCase):
    config = "caches"

    def assert_right(self, call: TensorCall, outputs: dict[str, Any]) -> None:
        for side, output in outputs.items():
            self.assertLessEqual(call.output_error(side, output), 1, side)
        self.assertLessEqual(call.cache_error(), 1)

    def assert_same(self, one: Any, other: Any) -> None:
        self.assertTrue(torch.equal(bits_of(one), bits_of(other)))

    def test_into_new_tensors_into_given_ones_and_in_place(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call, sides = TensorCall(work, self.device), CacheCall(work).sides_with_output
                before = {side: heads.clone() for side, heads in call.heads.items()}
                results = dict(zip("qkv", normrope.qk_norm_rope(**call.heads, **call.inputs()), strict=True))
                self.assertEqual([results[side] is not None for side in "qkv"], [side in sides for side in "qkv"])
                self.assert_right(call, {side: results[side] for side in sides})
                for side, heads in call.heads.items():
                    self.assertTrue(torch.equal(heads, before[side]), "an input was written")
                again = TensorCall(work, self.device)
                into = again.into(sides)
                normrope.qk_norm_rope(**again.heads, **again.inputs(), **into)
                own = TensorCall(work, self.device)
                self.assertIsNone(normrope.qk_norm_rope_(**own.heads, **own.inputs()))
                for side, heads in own.heads.items():
                    self.assert_same(heads, results[side] if side in sides else before[side])
                    if side in sides:
                        self.assert_same(into[f"{side}_out"], results[side])
                for side, memory in call.memory.items():
                    self.assert_same(memory, again.memory[side])
                    self.assert_same(memory, own.memory[side])

    def test_only_the_cache_is_written_of_k_and_v(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call, own = TensorCall(work, self.device), TensorCall(work, self.device)
                results = normrope.qk_norm_rope(**call.heads, **call.inputs(), cache_only=True)
                self.assertEqual([result is None for result in results], [False, True, True])
                self.assert_right(call, {"q": results[0]})
                normrope.qk_norm_rope_(**own.heads, **own.inputs(), cache_only=True)
                self.assertTrue(torch.equal(own.heads["q"], results[0]))
                self.assertTrue(all(torch.equal(own.heads[side], call.heads[side]) for side in "kv"))
                for side, memory in call.memory.items():
                    self.assert_same(memory, own.memory[side])

    def test_fp8_outputs(self) -> None:
        for work in FP8_WORKS:
            for out_dtype in (FP8, "e4m3", "fp8"):
                with self.subTest(work=work, out_dtype=out_dtype):
                    call = TensorCall(work, self.device)
                    results = normrope.qk_norm_rope(**call.heads, **call.inputs(), out_dtype=out_dtype)
                    outputs = {side: own for side, own in zip("qkv", results, strict=True) if own is not None}
                    self.assertEqual("".join(outputs), call.call.sides_with_output)
                    self.assertEqual({own.dtype for own in outputs.values()}, {FP8})
                    self.assert_right(call, outputs)
                    again = TensorCall(work, self.device)
                    into = again.into("".join(outputs))
                    normrope.qk_norm_rope(**again.heads, **again.inputs(), **into)
                    for side, output in outputs.items():
                        self.assert_same(into[f"{side}_out"], output)

    def test_the_registered_ops_give_the_same_bits(self) -> None:
        ops = torch.ops.normrope
        for work in SOME:
            for cache_only in (False, True):
                with self.subTest(work=work, cache_only=cache_only):
                    want, new, out, own = (TensorCall(work, self.device) for _ in range(4))
                    asked = {"out_dtype": "e4m3" if want.is_fp8 else None, "cache_only": cache_only}
                    drop = [f"{side}_out_scale" for side in "kv"] if cache_only else []
                    given = [
                        {name: value for name, value in each.registered().items() if name not in drop}
                        for each in (new, out, own)
                    ]
                    inputs = {name: value for name, value in want.inputs().items() if name not in drop}
                    results = normrope.qk_norm_rope(**want.heads, **inputs, **asked)
                    made = ops.qk_norm_rope(**new.heads, **given[0], **asked)
                    sides = [side for side, result in zip("qkv", results, strict=True) if result is not None]
                    into = out.into("".join(sides))
                    ops.qk_norm_rope_out(**out.heads, **given[1], **into, cache_only=cache_only)
                    for side, result, other in zip("qkv", results, made, strict=True):
                        if result is None:
                            self.assertEqual(tuple(other.shape), (0,))
                        else:
                            self.assert_same(result, other)
                            self.assert_same(result, into[f"{side}_out"])
                    calls = [want, new, out]
                    if not want.is_fp8:
                        ops.qk_norm_rope_(**own.heads, **given[2], cache_only=cache_only)
                        calls.append(own)
                    self.assert_right(want, {})
                    for each in calls:
                        for side, memory in want.memory.items():
                            self.assert_same(memory, each.memory[side])

    def test_schemas_say_what_is_written(self) -> None:
        for name, heads in (("", False), ("_", True), ("_out", False)):
            schema = getattr(torch.ops.normrope, f"qk_norm_rope{name}").default._schema
            written = {arg.name for arg in schema.arguments if arg.alias_info is not None and arg.alias_info.is_write}
            outputs = {"q_out", "k_out", "v_out"} if name == "_out" else set("qkv") if heads else set()
            self.assertEqual(written, {"k_cache", "v_cache", *outputs})
            self.assertNotIn("q_cache", str(schema))

    def test_opcheck(self) -> None:
        ops = torch.ops.normrope
        for work in SOME:
            with self.subTest(work=work):
                call = TensorCall(work, self.device)
                given = {**call.registered(), **call.heads}
                q, fp8 = given.pop("q"), {"out_dtype": "e4m3"} if call.is_fp8 else {}
                into = call.into(call.call.sides_with_output)
                checked = [(ops.qk_norm_rope, {**given, **fp8}), (ops.qk_norm_rope_out, {**given, **into})]
                if not call.is_fp8:
                    checked += [(ops.qk_norm_rope_, given), (ops.qk_norm_rope_, {**given, "cache_only": True})]
                tests = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")
                for op, named in checked:
                    # torch cannot compare tensors of FP8 on the CPU, as the test of schemas does.
                    torch.library.opcheck(op, (q,), named, test_utils=tests[work.cache == "e4m3" :])

    def test_compile(self) -> None:
        for work in SOME:
            for cache_only in (False, True):
                with self.subTest(work=work, cache_only=cache_only):
                    torch._dynamo.reset()
                    want = TensorCall(work, self.device)
                    drop = [f"{side}_out_scale" for side in "kv"] if cache_only else []
                    said: dict[str, Any] = {"cache_only": cache_only, "out_dtype": FP8 if want.is_fp8 else None}

                    def layer(heads: Any, memory: Any, tensors: Any, named: Any, places: Any, said: Any = said) -> Any:
                        own = {side: heads * 1 for side, heads in heads.items()}
                        # torch 2.13 does not compile interleaved views that are inputs and written, of dynamic shapes.
                        caches = {f"{side}_cache": memory[side].as_strided(*place) for side, place in places.items()}
                        results = normrope.qk_norm_rope(**own, **tensors, **caches, **named, **said)
                        return [result for result in results if result is not None]

                    def arguments(call: TensorCall, drop: Any = drop) -> Any:
                        inputs = {name: own for name, own in call.inputs().items() if name not in drop}
                        places = {side: (own.shape, own.strides, own.offset) for side, own in call.call.caches.items()}
                        tensors = {name: own for name, own in inputs.items() if isinstance(own, Tensor)}
                        others = {name: own for name, own in inputs.items() if name not in tensors}
                        tensors = {name: own for name, own in tensors.items() if not name.endswith("_cache")}
                        return call.heads, call.memory, tensors, others, places

                    results = layer(*arguments(want))
                    self.assertEqual(len(results), 1 if cache_only else len(want.call.sides_with_output))
                    for dynamic in (False, True):
                        call = TensorCall(work, self.device)
                        got = torch.compile(layer, fullgraph=True, dynamic=dynamic)(*arguments(call))
                        for one, other in zip(results, got, strict=True):
                            self.assert_same(one, other)
                        for side, memory in want.memory.items():
                            self.assert_same(memory, call.memory[side])

    def test_fake_tensors(self) -> None:
        call = TensorCall(Work("e4m3", "e4m3", "norm", "heads"), self.device)
        with FakeTensorMode() as mode:
            fake = {
                name: mode.from_tensor(own) if isinstance(own, Tensor) else own
                for name, own in {**call.heads, **call.inputs()}.items()
            }
            for dtype, cache_only, count in ((FP8, False, 3), ("e4m3", True, 1)):
                given = {k: v for k, v in fake.items() if not cache_only or k not in ("k_out_scale", "v_out_scale")}
                results = normrope.qk_norm_rope(**given, out_dtype=dtype, cache_only=cache_only)
                made = [result for result in results if result is not None]
                self.assertEqual([own.dtype for own in made], [FP8] * count)
                self.assertEqual([own.shape for own in made], [call.heads[side].shape for side in "qkv"[:count]])
            for change in ({"slots": fake["slots"][1:]}, {"k_cache": fake["k_cache"][..., 1:]}):
                with self.subTest(change=list(change)), self.assertRaises(RuntimeError):
                    normrope.qk_norm_rope(**{**fake, **change}, out_dtype=FP8)

    def test_a_second_call_is_planned_no_more(self) -> None:
        call = TensorCall(SOME[3], self.device)
        given = {**call.heads, **call.inputs()}
        normrope.qk_norm_rope(**given, out_dtype=FP8)
        error = AssertionError("planned again")
        with mock.patch.object(_torch_launch, "make_plan", side_effect=error):
            with mock.patch.object(_torch_outputs, "matched_fake", side_effect=error):
                normrope.qk_norm_rope(**{**given, "slots": given["slots"].flip(0)}, out_dtype=FP8)

    def test_no_tokens_and_no_heads(self) -> None:
        """Empty tensors have no address."""
        for work in (Work(), Work("e4m3", "e4m3", "norm", "heads")):
            call = TensorCall(work, self.device)
            inputs = call.inputs(out_dtype="e4m3" if call.is_fp8 else None)
            for cut in (0, 1):
                given = {**inputs, **{side: own.narrow(cut, 0, 0) for side, own in call.heads.items()}}
                if cut == 0:
                    given |= {name: inputs[name][:0] for name in ("slots", "positions")}
                else:
                    given |= {name: own[:, :, :0] for name, own in inputs.items() if name.endswith("_cache")}
                    given |= {name: own[:0] for name, own in inputs.items() if name.endswith("_scale")}
                with self.subTest(work=work, cut=cut):
                    results = normrope.qk_norm_rope(**given)
                    self.assertEqual(results[1].shape, given["k"].shape)
                    unscaled = {name: None if "_out_scale" in name else own for name, own in given.items()}
                    normrope.qk_norm_rope(**{**unscaled, "out_dtype": None}, cache_only=True)

    def test_a_cache_counts_as_written(self) -> None:
        call = TensorCall(Work(), self.device)
        before = [cache._version for cache in call.caches.values()]
        normrope.qk_norm_rope(**call.heads, **call.inputs(), cache_only=True)
        self.assertTrue(all(cache._version > own for cache, own in zip(call.caches.values(), before, strict=True)))

    def test_refusals(self) -> None:
        call = TensorCall(Work("e4m3"), self.device)
        given = {**call.heads, **call.inputs()}
        bytes_ = {f"{side}_cache": own.view(torch.uint8) for side, own in call.caches.items()}
        for change, part in (
            (bytes_, "k_cache is a tensor of uint8. k_cache must be bf16 or e4m3; bytes of e4m3 are .view(torch"),
            ({"slots": given["slots"][1:]}, "slots is a tensor of shape [8]. slots must be [9]: [num_tokens]"),
            ({"k_cache_scale": 0.5}, "k_cache_scale is 0.5. k_cache_scale must be a tensor, as the first is"),
            ({"k_cache": call.caches["k"][:0]}, "k_cache is a tensor of shape [0, 4, 2, 64]. k_cache must be of at"),
            ({"out_dtype": torch.float8_e5m2}, 'out_dtype is "torch.float8_e5m2". out_dtype must be "bf16" or "e4m3"'),
        ):
            with self.subTest(change=list(change)):
                with self.refuses("invalid-argument", part):
                    normrope.qk_norm_rope(**{**given, **change})
                with torch.profiler.profile(), self.refuses("invalid-argument", part):
                    normrope.qk_norm_rope(**{**given, **change})
        # What only the call itself sees.
        over_itself = call.caches["k"][:1].expand(5, -1, -1, -1)
        for change, part in (
            ({"slots": None}, "slots is None. slots must be given"),
            ({"k_cache": over_itself}, "k_cache is in memory that lies over itself. k_cache must be of elements that"),
        ):
            with self.subTest(change=list(change)), self.refuses("invalid-argument", part):
                normrope.qk_norm_rope(**{**given, **change})
