"""`qk_norm_rope` on tensors: what is to hold on any device. The test modules of the CPU and of CUDA run these."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import normrope
from case import DeviceCase
from reference import Style
from torch_reference import DTYPES, error_of_rounding, expected_heads

STYLE = Style(64, 64, True, base=1e6)
TOKENS, BATCH = 6, 2
HEADS = {"q": 4, "k": 2}


def in_rows(tokens: Tensor) -> Tensor:
    """A q or k of `[batch, tokens, heads, dim]` within packed rows that have more."""
    batch, count, heads, dim = tokens.shape
    rows = torch.zeros(batch, count, heads + 3, dim, dtype=tokens.dtype, device=tokens.device)
    rows[:, :, 1 : heads + 1] = tokens
    return rows[:, :, 1 : heads + 1]


#: How `[batch, tokens, heads, dim]` may be given: what it becomes, and the options that say so. What cannot be reached
#: by one stride over the tokens of a batch is launched sequence by sequence.
LAYOUTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "[batch, tokens, heads, dim]": (lambda t: t.contiguous(), {}),
    "the same in packed rows": (in_rows, {}),
    "rows of a batch": (lambda t: t.contiguous().flatten(-2), {"head_dim": 64}),
    "[batch, heads, tokens, dim], as a view": (lambda t: t.contiguous().transpose(1, 2), {"heads_dim": 1}),
    "[batch, heads, tokens, dim]": (lambda t: t.transpose(1, 2).contiguous(), {"heads_dim": -3}),
    "[tokens, heads, dim]": (lambda t: t.flatten(0, 1).contiguous(), {}),
    "[heads, tokens, dim]": (lambda t: t.flatten(0, 1).transpose(0, 1).contiguous(), {"heads_dim": 0}),
    "rows": (lambda t: t.flatten(0, 1).flatten(1).contiguous(), {"head_dim": 64}),
    "[tokens, batch, heads, dim], as a view": (lambda t: t.transpose(0, 1).contiguous().transpose(0, 1), {}),
    "every other token": (lambda t: t.flatten(0, 1).repeat_interleave(2, 0)[::2], {}),
}


class GeneralCall:
    """q, k, weights and positions of random values, as `[batch, tokens, heads, dim]`."""

    def __init__(self, device: str, style: Style = STYLE, weight_heads: bool = False) -> None:
        generator = torch.Generator(device).manual_seed(5)
        options: dict[str, Any] = {"generator": generator, "device": device}
        self.style, dtype = style, DTYPES[style.dtype]
        self.heads = {
            side: torch.randn(BATCH, TOKENS, count, style.head_dim, **options).to(dtype)
            for side, count in HEADS.items()
        }
        self.weights = {
            side: (torch.randn(*([count] if weight_heads else []), style.head_dim, **options).abs() + 0.5).to(dtype)
            for side, count in HEADS.items()
        }
        self.positions = torch.randint(0, 4096, (BATCH, TOKENS), dtype=torch.int64, **options)
        self.table = normrope.RopeTable(base=style.base, rotary_dim=style.rotary_dim)

    def options(self, **changed: Any) -> dict[str, Any]:
        """All but q and k."""
        weights = {f"{side}_weight": weight for side, weight in self.weights.items()}
        return {
            **{"eps": self.style.eps, "rope": "neox" if self.style.is_neox else "interleaved"},
            **{"positions": self.positions, "rope_table": self.table, **weights, **changed},
        }

    def error(self, side: str, output: Tensor) -> float:
        """Of `[batch, tokens, heads, dim]`, as a multiple of what is allowed."""
        x = self.heads[side].flatten(0, 1)
        y, magnitude = expected_heads(self.style, x, self.weights[side], self.positions.flatten(), torch.float64)
        return error_of_rounding(self.style.dtype, output.reshape(x.shape), y, magnitude)


def as_tokens_first(output: Tensor, options: dict[str, Any]) -> Tensor:
    """Undoes a layout: `[batch, tokens, heads, dim]` again."""
    if "head_dim" in options:
        output = output.unflatten(-1, (-1, 64))
    if "heads_dim" in options:
        output = output.transpose(-3, -2)
    return output.unflatten(0, (BATCH, TOKENS)) if output.dim() == 3 else output


class GeneralCases(DeviceCase):
    def each_layout(self) -> Any:
        for name, (lay, options) in LAYOUTS.items():
            for weight_heads in (False, True):
                call = GeneralCall(self.device, weight_heads=weight_heads)
                q, k = (lay(call.heads[side]) for side in ("q", "k"))
                given = call.options(**options)
                if q.dim() - ("head_dim" not in options) == 2:
                    given["positions"] = call.positions.flatten().int()
                with self.subTest(layout=name, weight_heads=weight_heads):
                    yield call, q, k, given, options

    def assert_right(self, call: GeneralCall, q: Tensor, k: Tensor, options: dict[str, Any]) -> None:
        for side, output in (("q", q), ("k", k)):
            self.assertLessEqual(call.error(side, as_tokens_first(output, options)), 1, side)

    def test_every_layout_in_place_and_out_of_place(self) -> None:
        for call, q, k, given, options in self.each_layout():
            before = q.clone(), k.clone()
            outputs = normrope.qk_norm_rope(q, k, **given)
            self.assert_right(call, *outputs, options)
            self.assertEqual([output.shape for output in outputs], [q.shape, k.shape])
            self.assertTrue(torch.equal(q, before[0]) and torch.equal(k, before[1]), "an input was written")
            into = [torch.full_like(output, 9.0) for output in outputs]
            returned = normrope.qk_norm_rope(q, k, **given, q_out=into[0], k_out=into[1])
            self.assertTrue(all(a is b for a, b in zip(returned, into, strict=True)))
            self.assertIsNone(normrope.qk_norm_rope_(q, k, **given))
            for output, into_, own in zip(outputs, into, (q, k), strict=True):
                self.assertTrue(torch.equal(output, into_) and torch.equal(output, own))

    def test_memory_between_heads_is_unchanged(self) -> None:
        call = GeneralCall(self.device)
        rows = torch.randn(BATCH, TOKENS, 9, 64, device=self.device).bfloat16()
        before = rows.clone()
        q, k = rows[:, :, 1:5], rows[:, :, 6:8]
        normrope.qk_norm_rope_(q, k, **call.options())
        for between in (slice(0, 1), slice(5, 6), slice(8, 9)):
            self.assertTrue(torch.equal(rows[:, :, between], before[:, :, between]))
        self.assertFalse(torch.equal(q, before[:, :, 1:5]))

    def test_q_and_k_of_packed_rows_with_tokens_in_front(self) -> None:
        call = GeneralCall(self.device)
        rows = torch.cat([call.heads["q"], call.heads["k"]], 2).transpose(0, 1).contiguous().transpose(0, 1)
        normrope.qk_norm_rope_(rows[:, :, :4], rows[:, :, 4:], **call.options())
        self.assert_right(call, rows[:, :, :4], rows[:, :, 4:], {})

    def test_memory_between_sequences_is_unchanged_and_no_heads_are_a_call(self) -> None:
        size = 4 * TOKENS * 64
        big = torch.randn(2, size + 64, device=self.device).bfloat16()
        q = big.as_strided((2, 4, TOKENS, 64), (size + 64, TOKENS * 64, 64, 1))  # each sequence is launched
        given = {**GeneralCall(self.device).options(k_weight=None), "heads_dim": 1}
        given["positions"] = torch.arange(TOKENS, device=self.device)
        want, _ = normrope.qk_norm_rope(q, **{**given, "q_weight": big[0, size:].clone()})
        normrope.qk_norm_rope_(q[:, 2:2], q, **{**given, "k_weight": big[0, size:]})
        self.assertTrue(torch.equal(q, want))

    def test_positions_of_a_whole_batch(self) -> None:
        call = GeneralCall(self.device)
        call.positions = call.positions[:1].expand(BATCH, -1)
        results = [
            normrope.qk_norm_rope(call.heads["q"], **call.options(positions=positions, k_weight=None))
            for positions in (call.positions, call.positions[:1], call.positions[0], call.positions.contiguous())
        ]
        for output, none in results:
            self.assertIsNone(none)
            self.assertLessEqual(call.error("q", output), 1)

    def test_angles(self) -> None:
        call = GeneralCall(self.device)
        (want, _), q = normrope.qk_norm_rope(call.heads["q"], **call.options(k_weight=None)), call.heads["q"]
        own = normrope.RopeTable.from_inv_freq(call.table.inv_freq)
        on_device = normrope.RopeTable.from_inv_freq(torch.tensor(call.table.inv_freq, dtype=torch.float64))
        config = normrope.RopeTable.from_hf_config({"rope_theta": 1e6, "head_dim": 64})
        for table in (own, on_device, config):
            self.assertTrue(
                torch.equal(normrope.qk_norm_rope(q, **call.options(rope_table=table, k_weight=None))[0], want)
            )
        halved = normrope.RopeTable.from_inv_freq(call.table.inv_freq, attention_factor=0.5)
        for options in ({"rope_table": halved}, {"attention_factor": 0.5}):
            output, _ = normrope.qk_norm_rope(q, **call.options(k_weight=None, **options))
            self.assertTrue(torch.equal(output, want / 2), options)

    def test_weights(self) -> None:
        call = GeneralCall(self.device)
        q, ones = call.heads["q"], torch.ones_like(call.weights["q"])
        given = call.options(q_weight=None, k_weight=None)
        want, _ = normrope.qk_norm_rope(q, **{**given, "q_weight": ones})
        one_plus, _ = normrope.qk_norm_rope(q, **{**given, "q_weight": torch.zeros_like(ones)}, weight="one_plus")
        none, _ = normrope.qk_norm_rope(q, **given, weight="none")
        self.assertTrue(torch.equal(one_plus, want) and torch.equal(none, want))
        given["inv_freq"] = list(given.pop("rope_table").inv_freq)
        self.assertTrue(torch.equal(torch.ops.normrope.qk_norm_rope(q, **given, weight="none")[0], want))
        with self.refuses("invalid-argument", "q_weight is given. q_weight must be left out"):
            torch.ops.normrope.qk_norm_rope_(q, **{**given, "q_weight": ones}, weight="none")

    def test_the_registered_ops_give_the_same_bits(self) -> None:
        for _, q, k, given, _ in self.each_layout():
            want = normrope.qk_norm_rope(q, k, **given)
            given["inv_freq"] = list(given.pop("rope_table").inv_freq)
            ops = torch.ops.normrope
            into = [torch.empty_like(output) for output in want]
            ops.qk_norm_rope_out(q, k, q_out=into[0], k_out=into[1], **given)
            new = ops.qk_norm_rope(q, k, **given)
            ops.qk_norm_rope_(q, k, **given)
            self.assertEqual(new[2].numel(), 0)  # there is no v
            for output, *others in zip(want, into, new[:2], (q, k), strict=True):
                self.assertTrue(all(torch.equal(output, other) for other in others))
        self.assertEqual(ops.qk_norm_rope(q, **{**given, "k_weight": None})[1].numel(), 0)

    def test_opcheck(self) -> None:
        for _, q, k, given, _ in self.each_layout():
            given["inv_freq"] = list(given.pop("rope_table").inv_freq)
            ops = torch.ops.normrope
            torch.library.opcheck(ops.qk_norm_rope, (q, k), given)
            torch.library.opcheck(ops.qk_norm_rope_, (q, k), given)
            into = {"q_out": torch.empty_like(q), "k_out": torch.empty_like(k)}
            torch.library.opcheck(ops.qk_norm_rope_out, (q, k), {**given, **into})

    def test_compile(self) -> None:
        torch._dynamo.reset()
        call = GeneralCall(self.device)

        class Layer(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weights = torch.nn.ParameterDict(call.weights).requires_grad_(False)

            def forward(self, q: Tensor, k: Tensor, positions: Tensor) -> tuple[Tensor, ...]:
                weights = {"q_weight": self.weights["q"], "k_weight": self.weights["k"]}
                given = {"eps": 1e-6, "rope": "neox", "positions": positions, "rope_table": call.table, **weights}
                new = normrope.qk_norm_rope(q * 2, k, **given)
                own = k + 1
                normrope.qk_norm_rope_(q := q * 1, own, **given)
                return (*new, q, own)

        layer = Layer()
        arguments = (call.heads["q"], call.heads["k"], call.positions)
        want = layer(*arguments)
        got = torch.compile(layer, fullgraph=True)(*arguments)
        dynamic = torch.compile(layer, fullgraph=True, dynamic=True)(*arguments)
        exported = torch.export.export(layer, arguments).module()(*arguments)
        for other in (got, dynamic, exported):
            self.assertTrue(all(torch.equal(a, b) for a, b in zip(want, other, strict=True)))

    def test_fake_tensors(self) -> None:
        call = GeneralCall(self.device)
        with FakeTensorMode() as mode:
            fake = {
                name: mode.from_tensor(value) for name, value in {**call.heads, "positions": call.positions}.items()
            }
            weights = {f"{side}_weight": mode.from_tensor(weight) for side, weight in call.weights.items()}
            given = call.options(positions=fake["positions"], **weights)
            q, k = normrope.qk_norm_rope(fake["q"], fake["k"], **given)
            self.assertEqual((q.shape, k.shape), (fake["q"].shape, fake["k"].shape))
            for change in (
                {"positions": fake["positions"][:, 1:]},
                {"q_weight": weights["q_weight"].float()},
                {"q_weight": weights["q_weight"][1:]},
                {"rope": "other"},
                {"rope_table": normrope.RopeTable(base=1e4, rotary_dim=128)},
            ):
                with self.subTest(change=list(change)), self.assertRaises(RuntimeError):
                    normrope.qk_norm_rope(fake["q"], fake["k"], **{**given, **change})
