"""Norms, biases, angles, position axes, v and rounding on tensors: what is to hold on any device. The test modules of
the CPU and of CUDA run these.
"""

from __future__ import annotations

from array import array
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import normrope
from axes_calls import DIM, HEADS, ROWS, TOKENS, WORKS, AxesCall, Work
from case import DeviceCase
from torch_reference import DTYPES

#: As in test_axes.
_FLIPS = 0.01

SEVERAL = Work(weight="none", angles="rows", sections=(10, 12, 10))
#: One of each kind of angles, with all that implies an axis.
SOME = (
    Work(norm="layer", has_bias=True, weight_heads=True, weight_dtype="float32"),
    Work(sections=(8, 12, 12)),
    Work(weight="none", angles="tokens", cos_dtype="float32"),
    SEVERAL,
    Work(value="norm"),
    Work(rotary_dim=0),
)


class TensorCall:
    """The same call on tensors of the same bits."""

    def __init__(self, work: Work, device: str) -> None:
        self.call, self.device, self.dtype = AxesCall(work), device, DTYPES[work.dtype]
        self.heads = {side: self._of_bits(bits).view(self.call.shape(side)) for side, bits in self.call.heads.items()}

    def _of_bits(self, bits: Any) -> Tensor:
        signed = array("h", bytes(memoryview(bits).cast("B")))
        return torch.tensor(signed.tolist(), dtype=torch.int16, device=self.device).view(self.dtype)

    def tensor(self, value: Any) -> Tensor:
        """Of a buffer: halves are bit patterns of the call's dtype."""
        view = memoryview(value)
        if view.format == "H":
            return self._of_bits(value).view(view.shape)
        dtype = {"f": torch.float32, "q": torch.int64, "B": torch.uint8}[view.format]
        return torch.tensor(view.tolist(), dtype=dtype, device=self.device)

    def inputs(self, **changed: Any) -> dict[str, Any]:
        given = {
            name: self.tensor(value) if isinstance(value, (array, memoryview)) else value
            for name, value in self.call.inputs().items()
        }
        return {**given, **changed}

    def registered(self) -> dict[str, Any]:
        """As the registered ops take it."""
        given = self.inputs()
        table = given.pop("rope_table", None)
        return given if table is None else {**given, "inv_freq": list(table.inv_freq)}

    def errors(self, side: str, output: Tensor) -> tuple[float, float]:
        signed = array("h", output.contiguous().view(torch.int16).flatten().tolist())
        return self.call.errors(side, array("H", signed.tobytes()))


class AxesCases(DeviceCase):
    config = "axes"

    def assert_right(self, call: TensorCall, outputs: Any) -> None:
        self.assertEqual(len(outputs), len(call.heads))
        for side, output in zip(call.heads, outputs, strict=True):
            largest, different = call.errors(side, output)
            self.assertLessEqual(largest, 1, side)
            if call.call.is_rounded:
                self.assertLessEqual(different, _FLIPS, side)

    def test_every_work_in_place_and_out_of_place(self) -> None:
        for work in WORKS:
            with self.subTest(work=work):
                call = TensorCall(work, self.device)
                before = {side: heads.clone() for side, heads in call.heads.items()}
                outputs = normrope.qk_norm_rope(**call.heads, **call.inputs())
                self.assert_right(call, outputs)
                for side, heads in call.heads.items():
                    self.assertTrue(torch.equal(heads, before[side]), "an input was written")
                into = {f"{side}_out": torch.full_like(heads, 9.0) for side, heads in before.items()}
                given = normrope.qk_norm_rope(**call.heads, **into, **call.inputs())
                self.assertTrue(all(a is b for a, b in zip(given, into.values(), strict=True)))
                if work.value == "copy" or (work.norm, work.rotary_dim) == ("none", 0):
                    with self.refuses("invalid-argument", "is given in place", "only copies"):
                        normrope.qk_norm_rope_(**call.heads, **call.inputs())
                else:
                    self.assertIsNone(normrope.qk_norm_rope_(**call.heads, **call.inputs()))
                    for own, output in zip(call.heads.values(), outputs, strict=True):
                        self.assertTrue(torch.equal(own, output))
                for own, output in zip(into.values(), outputs, strict=True):
                    self.assertTrue(torch.equal(own, output))

    def test_the_registered_ops_give_the_same_bits(self) -> None:
        ops = torch.ops.normrope
        for work in (*SOME, Work(value="copy")):
            with self.subTest(work=work):
                call = TensorCall(work, self.device)
                want = normrope.qk_norm_rope(**call.heads, **call.inputs())
                given = {**call.heads, **call.registered()}
                new = ops.qk_norm_rope(**given)
                self.assertEqual(len(new), 3)
                into = {f"{side}_out": torch.empty_like(heads) for side, heads in call.heads.items()}
                ops.qk_norm_rope_out(**given, **into)
                for output, made, out in zip(want, new, into.values(), strict=False):
                    self.assertTrue(torch.equal(output, made) and torch.equal(output, out))
                if work.value != "copy":
                    ops.qk_norm_rope_(**given)
                    self.assertTrue(all(torch.equal(a, b) for a, b in zip(want, call.heads.values(), strict=True)))

    def test_opcheck(self) -> None:
        ops = torch.ops.normrope
        for work in SOME:
            with self.subTest(work=work):
                call = TensorCall(work, self.device)
                given = {**call.registered(), **call.heads}
                q = given.pop("q")
                torch.library.opcheck(ops.qk_norm_rope, (q,), given)
                torch.library.opcheck(ops.qk_norm_rope_, (q,), given)
                into = {f"{side}_out": torch.empty_like(heads) for side, heads in call.heads.items()}
                torch.library.opcheck(ops.qk_norm_rope_out, (q,), {**given, **into})

    def test_compile(self) -> None:
        for work in (*SOME, Work(value="copy")):
            with self.subTest(work=work):
                torch._dynamo.reset()
                call = TensorCall(work, self.device)
                inputs = call.inputs()
                said = {name: value for name, value in inputs.items() if not isinstance(value, Tensor)}
                tensors = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}

                def layer(heads: dict[str, Tensor], tensors: dict[str, Tensor], said: Any = said) -> Any:
                    return normrope.qk_norm_rope(**{side: own * 1 for side, own in heads.items()}, **tensors, **said)

                want = layer(call.heads, tensors)
                for dynamic in (False, True):
                    got = torch.compile(layer, fullgraph=True, dynamic=dynamic)(call.heads, tensors)
                    self.assertTrue(all(torch.equal(a, b) for a, b in zip(want, got, strict=True)))

    def test_why_not_of_axes_in_a_compiled_function(self) -> None:
        torch._dynamo.reset()

        def layer(x: Tensor) -> Tensor:
            yes = normrope.can_use_fused_qk_norm_rope(64, True, torch.bfloat16, device=self.device, value="norm")
            no = normrope.can_use_fused_qk_norm_rope(64, True, torch.bfloat16, device=self.device, rope_rounding="sum")
            return x + (1 if yes and not no else 0)

        self.assertEqual(torch.compile(layer, fullgraph=True)(torch.zeros(1)).item(), 1)

    def test_strides_of_positions_and_rows(self) -> None:
        call = TensorCall(SEVERAL, self.device)
        want, given = normrope.qk_norm_rope(**call.heads, **call.inputs()), call.inputs()
        wide = torch.full((3, 10), 1 << 20, dtype=torch.int32, device=self.device)
        wide[:, :TOKENS] = given["positions"]
        rows = torch.full((ROWS, 2 * DIM), float("nan"), dtype=call.dtype, device=self.device)
        rows[:, :DIM] = given["cos_sin"]
        given |= {"positions": wide[:, :TOKENS], "cos_sin": rows[:, :DIM]}
        got = normrope.qk_norm_rope(**call.heads, **given)
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(want, got, strict=True)))
        same = given["positions"][:1].expand(3, -1)  # a stride of 0 over axes
        one = normrope.qk_norm_rope(**call.heads, **{**given, "positions": same})
        two = normrope.qk_norm_rope(**call.heads, **{**given, "positions": same.contiguous()})
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(one, two, strict=True)))
        with self.refuses("invalid-argument", "positions is a tensor with a stride of 3", "an axis are contiguous"):
            normrope.qk_norm_rope(**call.heads, **{**given, "positions": same.t().contiguous().t()})

    def test_no_tokens(self) -> None:
        for work in SOME:
            call = TensorCall(work, self.device)
            given = {**call.inputs(), **{side: heads[:0] for side, heads in call.heads.items()}}
            cut = {name: given[name][..., :0] for name in ("positions",) if name in given}
            cut |= {"cos_sin": given["cos_sin"][:0]} if work.angles == "tokens" else {}
            results = normrope.qk_norm_rope(**{**given, **cut})
            self.assertEqual([own.shape[0] for own in results], [0] * len(call.heads))

    def test_batches(self) -> None:
        for work in (Work(sections=(12, 20)), Work(weight="none", angles="tokens"), SEVERAL):
            call = TensorCall(work, self.device)
            want, given = normrope.qk_norm_rope(**call.heads, **call.inputs()), call.inputs()
            name = "cos_sin" if work.angles == "tokens" else "positions"
            given[name] = given[name].unflatten(-1 if name == "positions" else 0, (2, TOKENS // 2))
            batch = {side: heads.unflatten(0, (2, -1)) for side, heads in call.heads.items()}
            first = {side: heads.transpose(1, 2).contiguous() for side, heads in batch.items()}
            for heads, options in ((batch, {}), (first, {"heads_dim": -3})):
                got = normrope.qk_norm_rope(**heads, **given, **options)
                for output, own in zip(want, got, strict=True):
                    own = own.transpose(1, 2) if options else own
                    self.assertTrue(torch.equal(output, own.flatten(0, 1)), work)

    def test_a_second_call_with_other_axes_has_another_plan(self) -> None:
        call, other = TensorCall(Work(), self.device), TensorCall(Work(weight_dtype="float32"), self.device)
        first = normrope.qk_norm_rope(**call.heads, **call.inputs())
        weights = {f"{side}_weight": call.inputs()[f"{side}_weight"].float() for side in "qk"}
        wide = normrope.qk_norm_rope(**call.heads, **call.inputs(**weights))
        for _ in range(2):
            self.assert_right(call, normrope.qk_norm_rope(**call.heads, **call.inputs()))
            self.assert_right(other, normrope.qk_norm_rope(**other.heads, **other.inputs()))
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(first, wide, strict=True)))

    def test_shapes_that_do_not_fit_are_refused_however_the_op_is_called(self) -> None:
        table, several = TensorCall(Work(), self.device), TensorCall(SEVERAL, self.device)
        three = torch.zeros(3, TOKENS, dtype=torch.int64, device=self.device)
        for call, change, part in (
            (table, {"positions": three}, "positions is a tensor of shape [3, 6]. positions must be [6]: [num_tokens]"),
            (several, {"pair_axes": None}, "positions is a tensor of shape [3, 6]. positions must be [6]"),
            (several, {"positions": three[0]}, "positions is a tensor of shape [6]. positions must be [axes, num_tok"),
            (several, {"positions": None}, "positions is None. positions must be given, as pair_axes is"),
            (several, {"pair_axes": torch.zeros(32, device=self.device)}, "pair_axes is a tensor of float32"),
            (table, {"q_bias": call_bias(table)}, "q_bias is given. q_bias must be left out, as the kernel for"),
            (table, {"v": table.heads["k"]}, "v is given. v must be left out, as the kernel for"),
        ):
            given = {**call.heads, **call.inputs(**change)}
            with self.subTest(change=list(change)):
                with self.refuses("invalid-argument", part):
                    normrope.qk_norm_rope_(**given)
                with torch.profiler.profile(), self.refuses("invalid-argument", part):
                    normrope.qk_norm_rope_(**given)

    def test_fake_tensors(self) -> None:
        for work in (SEVERAL, Work(value="copy")):
            call = TensorCall(work, self.device)
            with FakeTensorMode() as mode:
                fake = {
                    name: mode.from_tensor(value) if isinstance(value, Tensor) else value
                    for name, value in {**call.heads, **call.inputs()}.items()
                }
                results = normrope.qk_norm_rope(**fake)
                self.assertEqual([own.shape for own in results], [fake[side].shape for side in call.heads])
                for change in ({"norm": "other"}, {"value": "other"}, {"rope": None}, {"positions": fake["q"]}):
                    with self.subTest(change=list(change)), self.assertRaises(RuntimeError):
                        normrope.qk_norm_rope(**{**fake, **change})

    def test_an_op_that_fixes_what_tensors_say(self) -> None:
        work = Work(weight_dtype="float32", angles="rows", rotary_dim=32, sections=(6, 10))
        call, op = TensorCall(work, self.device), normrope.Op("my_fixed")
        inputs = call.inputs()
        names = ("k_weight", "eps", "cos_sin", "positions", "pair_axes", "rope")
        given = {"k": call.heads["k"], **{name: inputs[name] for name in names}}
        _, output, _ = op(**given)
        self.assertLessEqual(call.errors("k", output)[0], 1)
        with self.refuses("invalid-argument", "k_weight is a tensor of bf16. k_weight must be float32"):
            op(**{**given, "k_weight": given["k_weight"].bfloat16()})

    def test_grad_and_devices(self) -> None:
        call = TensorCall(Work(norm="layer", has_bias=True), self.device)
        given = call.inputs()
        given["k_bias"] = given["k_bias"].requires_grad_()
        with self.refuses("invalid-argument", "k_bias is a tensor that requires grad"):
            normrope.qk_norm_rope(**call.heads, **given)
        self.assertEqual(call.heads["q"].shape[1], HEADS["q"])


def call_bias(call: TensorCall) -> Tensor:
    return torch.ones(DIM, dtype=call.dtype, device=call.device)
