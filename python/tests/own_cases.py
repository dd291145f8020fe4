"""`normrope.Op` on tensors: what is to hold on any device. The test modules of the CPU and of CUDA run these."""

from __future__ import annotations

from array import array
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import normrope
from case import DeviceCase
from normrope import _torch_launch
from reference import Style
from sentence_calls import ONLY_NORM, POSITIONS, Sentence, SentenceCall, every_sentence
from torch_reference import DTYPES

STYLE = Style(64, 64, True, eps=1e-5)


class TensorCall:
    """The same call on tensors of the same bits."""

    def __init__(self, sentence: Sentence, device: str, weight_heads: bool = False) -> None:
        self.call, self.device = SentenceCall(sentence, weight_heads), device
        self.dtype = DTYPES[sentence.style.dtype]
        self.heads = {side: self.tensor(bits).view(self.call.shape(side)) for side, bits in self.call.heads.items()}

    def tensor(self, bits: Any) -> Tensor:
        signed = array("h", memoryview(bits).tobytes())
        return torch.tensor(signed.tolist(), dtype=torch.int16, device=self.device).view(self.dtype)

    def inputs(self, **changed: Any) -> dict[str, Any]:
        given = self.call.inputs()
        for name, value in given.items():
            if name.endswith("_weight"):
                shape = (-1, 64) if isinstance(value, memoryview) else (-1,)
                given[name] = self.tensor(value).view(shape)
        if "positions" in given:
            given["positions"] = torch.tensor(POSITIONS.tolist(), device=self.device)
        return {**given, **changed}

    def error(self, outputs: dict[str, Tensor]) -> float:
        """The largest, as a multiple of what is allowed."""

        def bits(output: Tensor) -> array[int]:
            signed = array("h", output.contiguous().view(torch.int16).flatten().tolist())
            return array("H", signed.tobytes())

        return self.call.error({side: bits(output) for side, output in outputs.items()})


def by_side(results: tuple[Any, ...]) -> dict[str, Tensor]:
    """The results that there are, by side."""
    return {side: result for side, result in zip("qkv", results, strict=True) if result is not None}


def registered(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A call of the op, as the registered ops take it."""
    own = {key: value for key, value in given.items() if key not in ("rope", "weight", "rope_table")}
    table = given.get("rope_table")
    inv_freq = None if table is None else list(table.inv_freq)
    axes = [f"{axis}={given[axis]}" for axis in ("rope", "weight") if axis in given]
    return {"name": name, "axes": axes, **own, "inv_freq": inv_freq}


class OwnCases(DeviceCase):
    config = "sentences"

    def test_every_sentence_in_place_and_out_of_place(self) -> None:
        for sentence in every_sentence():
            for weight_heads in (False, True):
                with self.subTest(sentence=sentence, weight_heads=weight_heads):
                    call, op = TensorCall(sentence, self.device, weight_heads), normrope.Op(sentence.name)
                    before = {side: heads.clone() for side, heads in call.heads.items()}
                    results = by_side(op(**call.heads, **call.inputs()))
                    self.assertEqual(results.keys(), call.heads.keys())
                    self.assertLessEqual(call.error(results), 1)
                    for side, heads in call.heads.items():
                        self.assertTrue(torch.equal(heads, before[side]), "an input was written")
                    into = {f"{side}_out": torch.full_like(heads, 9.0) for side, heads in before.items()}
                    given = by_side(op(**call.heads, **call.inputs(), **into))
                    self.assertTrue(all(given[side] is into[f"{side}_out"] for side in before))
                    self.assertIsNone(op.in_place(**call.heads, **call.inputs()))
                    for side, result in results.items():
                        self.assertTrue(torch.equal(result, into[f"{side}_out"]))
                        self.assertTrue(torch.equal(result, call.heads[side]))

    def test_sides_may_be_left_out_and_any_may_be_the_first(self) -> None:
        call, op = TensorCall(Sentence("my_v", STYLE), self.device), normrope.Op("my_v")
        want = by_side(op(**call.heads, **call.inputs()))
        for sides in ("q", "k", "v", "qv", "kv"):
            given = call.inputs(**{f"{side}_weight": None for side in "qk" if side not in sides})
            got = by_side(op(**{side: call.heads[side] for side in sides}, **given))
            self.assertEqual("".join(got), sides)
            self.assertTrue(all(torch.equal(result, want[side]) for side, result in got.items()))

    def test_heads_in_front_of_the_tokens_of_a_batch(self) -> None:
        call, op = TensorCall(Sentence("my_v", STYLE), self.device), normrope.Op("my_v")
        want = by_side(op(**call.heads, **call.inputs()))
        batches = {side: heads.transpose(0, 1).repeat(2, 1, 1, 1) for side, heads in call.heads.items()}
        for side, result in by_side(op(**batches, **call.inputs(), heads_dim=-3)).items():
            for sequence in result:
                self.assertTrue(torch.equal(sequence.transpose(0, 1), want[side]))

    def test_a_second_call_has_a_plan(self) -> None:
        call, op = TensorCall(Sentence("my_v4", STYLE), self.device), normrope.Op("my_v4")
        given = {**call.heads, **call.inputs()}
        op.in_place(**given)
        with mock.patch.object(_torch_launch, "make_plan", side_effect=AssertionError("planned again")):
            op.in_place(**given)
            normrope.Op("my_v4").in_place(**given)

    def test_the_registered_ops_give_the_same_bits(self) -> None:
        for sentence in every_sentence():
            call, op, ops = TensorCall(sentence, self.device), normrope.Op(sentence.name), torch.ops.normrope
            want = by_side(op(**call.heads, **call.inputs()))
            given = registered(sentence.name, call.inputs())
            into = {f"{side}_out": torch.empty_like(heads) for side, heads in call.heads.items()}
            new = ops.op(**given, **call.heads)
            ops.op_out(**given, **call.heads, **into)
            ops.op_(**given, **call.heads)
            for side, result in want.items():
                for other in (new["qkv".index(side)], into[f"{side}_out"], call.heads[side]):
                    self.assertTrue(torch.equal(result, other), sentence)
            self.assertTrue(all(new[i].numel() == 0 for i, side in enumerate("qkv") if side not in want))
        call = TensorCall(Sentence("my_v4", STYLE), self.device)
        given = {**registered("my_v4", call.inputs()), **call.heads, "axes": ["rope"]}
        with self.refuses("kernel-not-found", 'rope is "", and must be one of "neox", "interleaved"'):
            ops.op_(**given)

    def test_op_out_wants_the_output_of_every_side(self) -> None:
        call, ops = TensorCall(Sentence("my_v", STYLE), self.device), torch.ops.normrope
        given = registered("my_v", call.inputs())
        del given["q_weight"], given["k_weight"]
        v, before = call.heads["v"], call.heads["v"].clone()

        def alone(v: Tensor) -> Tensor:
            ops.op_out(**given, v=v)
            return v

        def compiled(v: Tensor) -> Any:
            torch._dynamo.reset()
            return torch.compile(alone, fullgraph=True)(v)

        ops.op_(**given, v=v.clone())  # a plan that the call must not find
        with self.refuses("invalid-argument", "v_out is None. v_out must be given, as v is"):
            alone(v)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = mode.from_tensor(v)
            with self.refuses("invalid-argument", "v_out is None. v_out must be given, as v is"):
                alone(fake)
        # torch shows an error's text or its repr
        with self.assertRaisesRegex(Exception, r"v_out is None\W+v_out must be given, as v is"):
            compiled(v)
        with self.refuses("invalid-argument", "k_out is None. k_out must be given, as q_out is"):
            ops.op_out(**given, **call.heads, q_out=torch.empty_like(call.heads["q"]), v_out=v)
        with self.refuses("invalid-argument", "v is given. v must be left out, as my_v4 works on q and k"):
            ops.op_out(**{**given, "name": "my_v4"}, v=v)
        self.assertTrue(torch.equal(v, before))

    def test_opcheck(self) -> None:
        for sentence in (Sentence("my_v", STYLE), Sentence(ONLY_NORM, Style(64, 0, True, eps=1e-5), "none")):
            call, ops = TensorCall(sentence, self.device), torch.ops.normrope
            given = {**registered(sentence.name, call.inputs()), **call.heads}
            into = {f"{side}_out": torch.empty_like(heads) for side, heads in call.heads.items()}
            first = (given.pop("name"), given.pop("axes"))
            torch.library.opcheck(ops.op, first, given)
            torch.library.opcheck(ops.op_, first, given)
            torch.library.opcheck(ops.op_out, first, {**given, **into})

    def test_compile(self) -> None:
        torch._dynamo.reset()
        call, op = TensorCall(Sentence("my_v", STYLE), self.device), normrope.Op("my_v")
        inputs = call.inputs()
        positions, table = inputs.pop("positions"), inputs["rope_table"]
        weights = {name: inputs.pop(name) for name in ("q_weight", "k_weight")}

        class Layer(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weights = torch.nn.ParameterDict(weights).requires_grad_(False)

            def forward(self, q: Tensor, k: Tensor, v: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
                own_weights = {"q_weight": self.weights["q_weight"], "k_weight": self.weights["k_weight"]}
                new = op(q * 2, k, v, **inputs, **own_weights, positions=positions)
                own = v + 1
                op.in_place(v=own, eps=1e-5, rope="neox", positions=positions, rope_table=table)
                return (*new, own)

        arguments = (*call.heads.values(), positions)
        layer = Layer()
        got = torch.compile(layer, fullgraph=True)(*arguments)  # at the first call, which finds the library
        want = layer(*arguments)
        dynamic = torch.compile(layer, fullgraph=True, dynamic=True)(*arguments)
        exported = torch.export.export(layer, arguments).module()(*arguments)
        for other in (got, dynamic, exported):
            self.assertTrue(all(torch.equal(a, b) for a, b in zip(want, other, strict=True)))

    def test_fake_tensors(self) -> None:
        call, op = TensorCall(Sentence("my_rope_norm", STYLE), self.device), normrope.Op("my_rope_norm")
        with FakeTensorMode() as mode:
            heads = {side: mode.from_tensor(value) for side, value in call.heads.items()}
            inputs = {
                name: mode.from_tensor(value) if isinstance(value, Tensor) else value
                for name, value in call.inputs().items()
            }
            q, k, v = op(**heads, **inputs)
            self.assertEqual((q.shape, k.shape, v), (heads["q"].shape, heads["k"].shape, None))
            for change in (
                {"positions": inputs["positions"][1:]},
                {"q_weight": inputs["q_weight"].float()},
                {"rope": "other"},
                {"other": 1},
                {"v": heads["q"]},
            ):
                with self.subTest(change=list(change)), self.assertRaises(RuntimeError):
                    op(**{**heads, **inputs, **change})

    def test_the_profiler_sees_it(self) -> None:
        call, op = TensorCall(Sentence("my_k", Style(64, 32, True, eps=1e-5)), self.device), normrope.Op("my_k")
        want = by_side(op(**call.heads, **call.inputs()))
        with torch.profiler.profile() as profile:
            got = by_side(op(**call.heads, **call.inputs()))
            op.in_place(**call.heads, **call.inputs())
        self.assertTrue(any("normrope::op" in event.key for event in profile.key_averages()))
        self.assertTrue(torch.equal(got["k"], want["k"]) and torch.equal(call.heads["k"], want["k"]))

    def test_refusals_also_after_a_good_call(self) -> None:
        call, op = TensorCall(Sentence("my_v", STYLE), self.device), normrope.Op("my_v")
        good = {**call.heads, **call.inputs()}
        refused: list[tuple[dict[str, Any], str]] = [
            (
                {"q": None, "q_weight": None, "k": good["k"].float()},
                "k is a tensor of float32. k must be of bf16 or f16",
            ),
            ({"v": good["v"].half()}, "v is a tensor of f16. v must be bf16"),
            ({"q": None}, "q_weight is given. q_weight must be left out, as q is"),
            (
                {"v_weight": good["q_weight"]},
                "v_weight is given. v_weight must be left out, as the kernel for headDim 64",
            ),
            ({"k_weight": None}, "k_weight is None. k_weight must be given"),
            ({"positions": None}, "positions is None. positions must be given"),
            ({"rope": "neo"}, 'rope is "neo", and must be one of'),
            ({"rope": None}, 'rope is None. rope must be one of "neox", "interleaved"'),
            ({"rope": True}, "rope True"),
            ({"eps": None}, "eps is None. eps must be given"),
            ({"other": 1}, "other is no argument of my_v"),
            ({"v_out": good["v"].clone()}, "q_out is None. q_out must be given, as v_out is"),
            ({"v": [1.0]}, "v is a list of 1. v must be a tensor"),
            ({"dtype": "bf16"}, "dtype is given. dtype must be left out"),
        ]
        for _ in range(2):
            for change, message in refused:
                with self.subTest(message=message), self.assertRaises(normrope.NormropeError) as caught:
                    op(**{**good, **change})
                self.assertIn(message, str(caught.exception))
            op(**good)

    def test_a_table_too_many_is_named_however_the_op_is_called(self) -> None:
        sentence = Sentence(ONLY_NORM, Style(64, 0, True, eps=1e-5), "none")
        call, op = TensorCall(sentence, self.device), normrope.Op(ONLY_NORM)
        given = {**call.heads, **call.inputs(rope_table=normrope.RopeTable(base=1e4, rotary_dim=64))}
        part = "rope_table is given. rope_table must be left out, as the kernel for headDim 64"
        with self.refuses("invalid-argument", part):
            op.in_place(**given)
        with torch.profiler.profile(), self.refuses("invalid-argument", part):
            op.in_place(**given)
        torch._dynamo.reset()
        with self.assertRaisesRegex(Exception, part.replace(". ", r"\W+")):  # torch shows an error's text or its repr
            torch.compile(op.in_place, fullgraph=True)(**given)

    def test_grad_is_refused_in_words(self) -> None:
        call, op = TensorCall(Sentence("my_v", STYLE), self.device), normrope.Op("my_v")
        call.heads["v"].requires_grad_()
        for run in (op, op.in_place):
            with self.refuses("invalid-argument", "v is a tensor that requires grad", "torch.no_grad()"):
                run(**call.heads, **call.inputs())
