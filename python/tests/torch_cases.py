"""Tests for tensors on any device. The test modules of the CPU and of CUDA run these.

The grid is that of SGLang's own test of this op (head_dim, tokens, style; partial rotary; YaRN; default rotary_dim),
with more tokens, f16, rows that are apart and 64-bit positions.
"""

from __future__ import annotations

import concurrent.futures
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import normrope
from case import DeviceCase
from reference import Style
from torch_reference import DTYPES, error_against_float32, error_of_rounding, expected

YARN = {"base": 5e5, "factor": 2.5, "low": 4.0, "high": 32.0, "attention_factor": 0.9}


class TensorCall:
    """A call on random tensors; `gap` elements lie between rows."""

    def __init__(
        self,
        style: Style,
        tokens: int,
        device: str,
        heads: tuple[int, int, int] = (4, 2, 2),
        gap: int = 0,
        position_dtype: torch.dtype = torch.int32,
        last_position: int = 4096,
    ) -> None:
        generator = torch.Generator(device).manual_seed(tokens + style.head_dim)
        options: dict[str, Any] = {"generator": generator, "device": device}
        self.style, self.heads = style, heads
        self.row = sum(heads) * style.head_dim
        dtype = DTYPES[style.dtype]
        self.wide = torch.randn(tokens, self.row + gap, **options).to(dtype)
        self.qkv = self.wide[:, : self.row]
        self.before = self.wide.clone()
        self.weights = [(torch.randn(style.head_dim, **options).abs() + 0.5).to(dtype) for _ in range(2)]
        self.positions = torch.randint(0, last_position, (tokens,), dtype=position_dtype, **options)

    def arguments(self, qkv: Tensor | None = None) -> tuple[Any, ...]:
        style = self.style
        return (
            *(self.qkv if qkv is None else qkv, *self.heads, style.head_dim, style.eps, *self.weights),
            *(style.base, style.is_neox, self.positions, *style.rope_arguments, style.rotary_dim),
        )

    def run(self, **options: Any) -> None:
        normrope.fused_qk_norm_rope(*self.arguments(), **options)

    def errors(self) -> tuple[float, float]:
        """Against float64 and float32; infinite where something else was written."""
        count = sum(self.heads[:2]) * self.style.head_dim
        if not torch.equal(self.wide[:, count:], self.before[:, count:]):
            return float("inf"), float("inf")
        output = self.wide[:, :count].unflatten(1, (-1, self.style.head_dim))
        given = (self.style, self.before[:, : self.row], self.heads, self.weights, self.positions)
        return (
            error_of_rounding(self.style.dtype, output, *expected(*given, torch.float64)),
            error_against_float32(self.style.dtype, output, *expected(*given, torch.float32), self.positions),
        )


class Cases(DeviceCase):
    tokens = (1, 4, 63)

    def check(self, style: Style, tokens: int, **options: Any) -> None:
        with self.subTest(style=style, tokens=tokens, **options):
            call = TensorCall(style, tokens, self.device, **options)
            call.run()
            exact, single = call.errors()
            self.assertLessEqual(exact, 1, "against float64")
            self.assertLessEqual(single, 1, "against float32")

    def styles(self, **values: Any) -> list[Style]:
        return [
            Style(head_dim, rotary_dim, is_neox, dtype, **values)
            for head_dim, rotary_dim in ((64, 64), (64, 32), (128, 128), (128, 64), (256, 256), (256, 128), (256, 64))
            for is_neox in (True, False)
            for dtype in ("bf16", "f16")
        ]

    def test_grid(self) -> None:
        for style in self.styles(eps=1e-5):
            for tokens in self.tokens:
                self.check(style, tokens)

    def test_yarn(self) -> None:
        for style in self.styles(**YARN):
            self.check(style, 32)

    def test_rows_apart_and_64_bit_positions(self) -> None:
        for style in self.styles():
            self.check(style, 17, gap=24, position_dtype=torch.int64)
            self.check(style, 17, heads=(1, 1, 0))
            self.check(style, 5, heads=(3, 0, 1))

    def test_far_positions(self) -> None:
        call = TensorCall(Style(128, 128, True, base=1e6), 64, self.device, last_position=2**31 - 1)
        call.run()
        self.assertLessEqual(call.errors()[0], 1)

    def test_rotary_dim_is_head_dim_if_it_is_left_out(self) -> None:
        first, second = (TensorCall(Style(128, 128, False), 8, self.device) for _ in range(2))
        first.run()
        normrope.fused_qk_norm_rope(*second.arguments()[:-1])
        self.assertTrue(torch.equal(first.qkv, second.qkv))
        self.assertFalse(torch.equal(first.qkv, first.before))

    def test_no_tokens(self) -> None:
        TensorCall(Style(64, 64, True), 0, self.device).run()

    def test_keywords_as_sglang_passes_them(self) -> None:
        call = TensorCall(Style(64, 64, True), 8, self.device)
        names = (
            "qkv num_heads_q num_heads_k num_heads_v head_dim eps q_weight k_weight base is_neox position_ids factor"
        )
        names += " low high attention_factor rotary_dim"
        normrope.fused_qk_norm_rope(**dict(zip(names.split(), call.arguments(), strict=True)))
        self.assertLessEqual(call.errors()[0], 1)

    def test_the_registered_op_gives_the_same_bits(self) -> None:
        first, second = (TensorCall(Style(128, 64, True), 33, self.device) for _ in range(2))
        first.run()
        torch.ops.normrope.fused_qk_norm_rope(*second.arguments())
        self.assertTrue(torch.equal(first.qkv, second.qkv))

    def test_opcheck(self) -> None:
        for gap in (0, 16):
            call = TensorCall(Style(64, 64, True), 7, self.device, gap=gap)
            torch.library.opcheck(torch.ops.normrope.fused_qk_norm_rope, call.arguments())

    def test_compile(self) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(normrope.fused_qk_norm_rope, fullgraph=True)
        for tokens in (8, 9, 31):
            call = TensorCall(Style(64, 64, True), tokens, self.device)
            compiled(*call.arguments())
            self.assertLessEqual(call.errors()[0], 1)

    def test_compile_in_a_model(self) -> None:
        torch._dynamo.reset()
        call = TensorCall(Style(64, 64, False), 12, self.device)

        def layer(x: Tensor, positions: Tensor) -> Tensor:
            qkv = x + x
            normrope.fused_qk_norm_rope(*call.arguments(qkv)[:10], positions, *call.arguments()[11:])
            return qkv * 2

        want = layer(call.before, call.positions)
        got = torch.compile(layer, fullgraph=True)(call.before, call.positions)
        self.assertTrue(torch.equal(got, want))
        # The number of tokens is not known when it is compiled.
        got = torch.compile(layer, fullgraph=True, dynamic=True)(call.before, call.positions)
        self.assertTrue(torch.equal(got, want))

    def test_fake_tensors(self) -> None:
        call = TensorCall(Style(64, 64, True), 8, self.device)
        with FakeTensorMode() as mode:
            faked = [mode.from_tensor(value) if isinstance(value, Tensor) else value for value in call.arguments()]
            normrope.fused_qk_norm_rope(*faked)
            for change in ({0: faked[0].float()}, {10: faked[10][:, None]}, {6: faked[6].float()}, {1: 9}, {15: 3}):
                wrong = [change.get(i, value) for i, value in enumerate(faked)]
                with self.subTest(change=list(change)), self.assertRaises(RuntimeError):
                    normrope.fused_qk_norm_rope(*wrong)
        self.assertTrue(torch.equal(call.qkv, call.before), "nothing was computed")

    def test_tensors_that_require_grad_are_refused_in_grad_mode_only(self) -> None:
        call = TensorCall(Style(64, 64, True), 8, self.device)
        call.weights[1].requires_grad_()
        for run in (call.run, lambda: torch.ops.normrope.fused_qk_norm_rope(*call.arguments())):
            with self.refuses("invalid-argument", "k_weight is a tensor that requires grad", "torch.no_grad()"):
                run()
        with torch.no_grad():
            call.run()
        self.assertLessEqual(call.errors()[0], 1)
        with torch.inference_mode():
            again = TensorCall(Style(64, 64, True), 8, self.device)
            again.run()
        self.assertTrue(torch.equal(again.qkv, TensorCall(Style(64, 64, True), 8, self.device).qkv) is False)

    def test_an_inference_tensor_is_written_in_inference_mode_only(self) -> None:
        with torch.inference_mode():
            call = TensorCall(Style(64, 64, True), 8, self.device)
        for run in (call.run, lambda: torch.ops.normrope.fused_qk_norm_rope(*call.arguments())) * 2:
            for mode in (torch.no_grad, torch.enable_grad):
                with mode(), self.refuses("invalid-argument", "qkv is a tensor of inference mode", "qkv.clone()"):
                    run()
            self.assertTrue(torch.equal(call.qkv, call.before), "nothing was written")
            TensorCall(Style(64, 64, True), 8, self.device).run()  # now there is a plan
        qkv = call.qkv.clone()
        normrope.fused_qk_norm_rope(*call.arguments(qkv))  # weights and positions are only read
        with torch.inference_mode():
            call.run()
            normal = TensorCall(Style(64, 64, True), 8, self.device).arguments(qkv)
            normrope.fused_qk_norm_rope(*normal)
        self.assertLessEqual(call.errors()[0], 1)

    def test_autograd_sees_writes(self) -> None:
        call = TensorCall(Style(64, 64, True), 8, self.device)
        version = call.qkv._version
        call.run()
        self.assertGreater(call.qkv._version, version)

    def test_threads(self) -> None:
        calls = [TensorCall(style, 9, self.device) for style in self.styles() * 2]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda call: call.run(), calls))
        for call in calls:
            self.assertLessEqual(call.errors()[0], 1)

    def test_more_tables_than_are_kept(self) -> None:
        for base in (*range(10_000, 10_040), 10_000, 10_001):
            call = TensorCall(Style(64, 64, True, base=float(base)), 3, self.device)
            call.run()
            self.assertLessEqual(call.errors()[0], 1)

    def refused(self) -> list[tuple[dict[int, Any], str]]:
        """Changes of a good call's arguments by their index, and what is said of them."""
        call = TensorCall(Style(64, 64, True), 4, self.device)
        qkv, weight, positions = call.qkv, call.weights[0], call.positions
        zeros = torch.zeros(8 * 512, dtype=torch.bfloat16, device=self.device)
        return [
            ({0: qkv.float()}, "qkv is a tensor of float32. qkv must be of bf16 or f16"),
            ({0: qkv.unflatten(1, (-1, 64))}, "qkv is a tensor of shape [4, 8, 64]. qkv must be of rank 2"),
            (
                {0: qkv[:3]},
                "qkv is a tensor of shape [3, 512]. qkv must be [4, 512]: 4 tokens of 4 + 2 + 2 heads of 64",
            ),
            ({0: zeros.as_strided((4, 512), (1, 4))}, "qkv is a tensor with a stride of 4 between elements"),
            ({0: zeros.as_strided((4, 512), (0, 1))}, "qkv is in heads that lie over each other"),
            ({0: zeros[1 : 1 + 4 * 512].view(4, 512)}, "qkv is at 0x"),
            ({0: zeros.as_strided((4, 512), (513, 1))}, "the stride between rows of qkv is 513"),
            ({0: qkv.to_sparse()}, "qkv is a tensor of layout torch.sparse_coo. qkv must be a dense one"),
            ({0: qkv.to("meta")}, "qkv is on meta. qkv must be on a CUDA device or the CPU"),
            ({1: 5}, "4 tokens of 5 + 2 + 2 heads of 64"),
            ({1: -4}, "num_heads_q is -4"),
            ({3: True}, "num_heads_v is True"),
            ({5: float("nan")}, "eps is nan"),
            ({6: weight[:32]}, "q_weight is a tensor of shape [32]. q_weight must be [64] or [4, 64]: [head_dim]"),
            ({6: weight[None]}, "q_weight is a tensor of shape [1, 64]"),
            ({7: weight.half()}, "k_weight is a tensor of f16. k_weight must be bf16"),
            (
                {7: zeros[:128:2]},
                "k_weight is a tensor with a stride of 2 between elements. k_weight must be contiguous",
            ),
            ({6: [1.0] * 64}, "q_weight is a list of 64. q_weight must be a tensor"),
            ({8: 0.0}, "base is 0.0"),
            ({9: 1}, "is_neox is 1"),
            (
                {10: positions[None].expand(3, -1)},
                "position_ids is a tensor of shape [3, 4]. position_ids must be [num_to",
            ),
            ({10: positions.short()}, "position_ids is a tensor of torch.int16. position_ids must be int32 or int64"),
            ({10: positions.repeat(2)[::2]}, "position_ids is a tensor with a stride of 2"),
            ({10: positions[:2]}, "qkv is a tensor of shape [4, 512]. qkv must be [2, 512]"),
            ({10: positions.to("meta")}, "position_ids is on meta"),
            ({11: -1.0}, "factor is -1.0"),
            ({15: 63}, "rotaryDim is 63"),
            ({15: 128}, "rotaryDim 128 is more than headDim 64"),
            ({15: 64.0}, "rotaryDim is 64.0"),
        ]

    def test_refusals_also_after_a_good_call(self) -> None:
        good = TensorCall(Style(64, 64, True), 4, self.device)
        for _ in range(2):
            for change, message in self.refused():
                call = TensorCall(Style(64, 64, True), 4, self.device)
                arguments = [change.get(i, value) for i, value in enumerate(call.arguments())]
                with self.subTest(message=message):
                    with self.assertRaises(normrope.NormropeError) as caught:
                        normrope.fused_qk_norm_rope(*arguments)
                    self.assertIn(message, str(caught.exception))
            good.run()

    def test_one_token_does_not_vouch_for_several(self) -> None:
        zeros = torch.zeros(4 * 512, dtype=torch.bfloat16, device=self.device)
        for tokens in (0, 1):
            call = TensorCall(Style(64, 64, True), tokens, self.device)
            normrope.fused_qk_norm_rope(*call.arguments(zeros.as_strided((tokens, 512), (8, 1))))
        call = TensorCall(Style(64, 64, True), 2, self.device)
        with self.refuses("invalid-argument", "qkv is in heads that lie over each other"):
            normrope.fused_qk_norm_rope(*call.arguments(zeros.as_strided((2, 512), (8, 1))))

    def test_a_tensor_has_its_own_dtype(self) -> None:
        with self.refuses("invalid-argument", "dtype is given. dtype must be left out"):
            TensorCall(Style(64, 64, True), 4, self.device).run(dtype="bf16")
