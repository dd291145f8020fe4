"""The functions by others' signatures, on tensors of any device. The test modules of the CPU and of CUDA run these.

The shapes are those of the other projects' own tests.
"""

from __future__ import annotations

import torch
from torch import Tensor

import normrope
from case import DeviceCase
from dropin_oracle import EPS, FP8, Inputs, angles_of, interleaved, normed, rotated, rows_at, to_fp8
from normrope import sglang, tensorrt_llm, vllm
from normrope._patch import or_original
from torch_reference import error_of_rounding, errors_of_rounding


class DropInCases(DeviceCase):
    config = "dropins"

    def assert_near(self, output: Tensor, y: Tensor, magnitude: Tensor) -> None:
        name = {torch.bfloat16: "bf16", torch.float16: "f16"}[output.dtype]
        self.assertLessEqual(error_of_rounding(name, output, y, magnitude), 1)

    # vLLM

    def test_vllm_fused_qk_norm_rope(self) -> None:
        counts, dim, tokens = (16, 4, 2), 128, 5
        for dtype, rotary_dim, is_neox, own in (
            (torch.bfloat16, 128, True, torch.bfloat16),
            (torch.bfloat16, 128, False, torch.bfloat16),
            (torch.float16, 128, True, torch.float16),
            (torch.float16, 128, False, torch.float16),
            (torch.bfloat16, 32, True, torch.bfloat16),
            (torch.bfloat16, 32, True, torch.float32),
            (torch.bfloat16, 0, True, None),
        ):
            with self.subTest(dtype=dtype, rotary_dim=rotary_dim, is_neox=is_neox, cos_sin=own):
                made = Inputs(self.device, dtype)
                qkv, weights = made.heads(tokens, sum(counts) * dim), [made.weight(dim) for _ in range(2)]
                cos_sin = None if own is None else made.cos_sin(rotary_dim, own)
                positions, before = made.positions(tokens), qkv.clone()
                vllm.fused_qk_norm_rope(qkv, *counts, dim, EPS, *weights, cos_sin, is_neox, positions)
                heads, was = (each.unflatten(1, (-1, dim)) for each in (qkv, before))
                self.assertTrue(torch.equal(heads[:, 20:], was[:, 20:]), "v was written")
                for at, weight in ((slice(0, 16), weights[0]), (slice(16, 20), weights[1])):
                    y = normed(was[:, at], weight)
                    if cos_sin is None:
                        self.assert_near(heads[:, at], y, y.abs())
                    else:
                        cos, sin = rows_at(cos_sin, positions)
                        self.assert_near(heads[:, at], *rotated(y, cos, sin, is_neox))

    def test_vllm_as_the_compiler_pass_calls_it(self) -> None:
        made = Inputs(self.device)
        qkv, cos_sin, positions = made.heads(3, 6 * 128), made.cos_sin(128, torch.bfloat16), made.positions(3)
        weight, again = made.weight(128), qkv.clone()
        named = dict(num_heads_q=4, num_heads_k=1, num_heads_v=1, head_dim=128, eps=EPS, q_weight=weight)
        named |= dict(k_weight=weight, cos_sin_cache=cos_sin, is_neox=True, position_ids=positions)
        vllm.fused_qk_norm_rope(qkv=qkv, **named, forced_token_heads_per_warp=-1)
        vllm.fused_qk_norm_rope(again, *named.values(), 4)
        self.assertTrue(torch.equal(qkv, again))

    def test_vllm_gate(self) -> None:
        dim, rotary_dim = 256, 64
        for (num_q, num_k), sections, beta, tokens in (
            ((24, 4), None, 1.0, 1),
            ((24, 4), None, 1.0, 37),
            ((24, 4), None, 0.0, 4),
            ((16, 2), (11, 11, 10), 1.0, 4),
            ((16, 2), (8, 14, 10), 1.0, 4),
        ):
            with self.subTest(heads=num_q, sections=sections, beta=beta, tokens=tokens):
                made = Inputs(self.device)
                # As views of one projection.
                qkv = made.heads(tokens, (2 * num_q + 2 * num_k) * dim)
                q_gate, k, _ = qkv.split([2 * num_q * dim, num_k * dim, num_k * dim], 1)
                weights, cos_sin = [made.weight(dim) for _ in range(2)], made.cos_sin(rotary_dim, torch.bfloat16)
                positions = made.positions(*(() if sections is None else (3,)), tokens)
                before = qkv.clone()
                given = (num_q, num_k, dim, rotary_dim, sections, beta)
                q_out, k_out, gate = vllm.fused_qk_rmsnorm_rope_gate(
                    q_gate, k, *weights, cos_sin, positions, EPS, *given
                )
                self.assertTrue(torch.equal(qkv, before), "an input was written")
                for each in (q_out, k_out, gate):
                    self.assertTrue(each.is_contiguous())
                pairs = q_gate.unflatten(1, (num_q, 2, dim))
                self.assertTrue(torch.equal(gate.unflatten(1, (num_q, dim)), pairs[:, :, 1]))
                axes = None if sections is None else interleaved(rotary_dim // 2, *sections[1:], self.device)
                cos, sin = rows_at(cos_sin, positions, axes)
                for out, x, weight in ((q_out, pairs[:, :, 0], weights[0]), (k_out, k, weights[1])):
                    x = x.reshape(tokens, -1, dim)
                    y, magnitude = rotated(normed(x, weight, beta).to(torch.bfloat16).double(), cos, sin)
                    # Where the norm in float64 is close to the middle of two numbers, float32 may take the other.
                    out = out.unflatten(1, (-1, dim))
                    errors = errors_of_rounding("bf16", out, y, magnitude)
                    self.assertLessEqual((errors > 1).double().mean().item(), 1e-3)
                    self.assertLessEqual(((out - y).abs() - 2.0**-6 * magnitude).max().item(), 0)

    def test_vllm_gate_without_rotation(self) -> None:
        made, dim = Inputs(self.device), 256
        q_gate, k = made.heads(3, 4 * dim), made.heads(3, dim)
        weights = [made.weight(dim) for _ in range(2)]
        q_out, k_out, _ = vllm.fused_qk_rmsnorm_rope_gate(
            q_gate, k, *weights, None, made.positions(3), EPS, 2, 1, dim, 0, None, 1.0
        )
        for out, x, weight in ((q_out, q_gate.unflatten(1, (2, 2, dim))[:, :, 0], weights[0]), (k_out, k, weights[1])):
            y = normed(x.reshape(3, -1, dim), weight, 1)
            self.assert_near(out.unflatten(1, (-1, dim)), y, y.abs())

    # SGLang

    def test_sglang_fused_qk_norm_mrope(self) -> None:
        dim, num_q, num_k, tokens, page = 128, 8, 2, 5, 4
        for has_cache in (False, True):
            with self.subTest(has_cache=has_cache):
                made = Inputs(self.device)
                qkv = made.heads(tokens, (num_q + 2 * num_k) * dim)
                q, k, v = qkv.split([num_q * dim, num_k * dim, num_k * dim], 1)
                weights, cos_sin = [made.weight(dim) for _ in range(2)], made.cos_sin(dim, torch.bfloat16)
                positions = made.positions(3, tokens + 3)[:, :tokens]
                axes = interleaved(dim // 2, 24, 16, self.device)
                slots = torch.tensor([5, -1, 0, 11, 2], device=self.device)
                # A layout in which heads come before slots.
                caches = [torch.zeros(3, num_k, page, dim, dtype=q.dtype, device=self.device) for _ in range(2)]
                key_cache, value_cache = (cache.permute(0, 2, 1, 3) for cache in caches)
                cache = dict(value=v, key_cache=key_cache, value_cache=value_cache, slots=slots)
                before = qkv.clone()
                for _ in range(2):  # the second call has the bytes of the axes at hand
                    qkv.copy_(before)
                    sglang.fused_qk_norm_mrope(
                        q, k, *weights, cos_sin, positions, axes, EPS, **(cache if has_cache else {})
                    )
                old_q, old_k, old_v = before.split([num_q * dim, num_k * dim, num_k * dim], 1)
                self.assertTrue(torch.equal(v, old_v))
                cos, sin = rows_at(cos_sin, positions, axes)
                for out, x, weight in ((q, old_q, weights[0]), (k, old_k, weights[1])):
                    y = normed(x.unflatten(1, (-1, dim)), weight)
                    self.assert_near(out.unflatten(1, (-1, dim)), *rotated(y, cos, sin))
                if has_cache:
                    for side, cached in ((k, key_cache), (v, value_cache)):
                        flat = cached.reshape(-1, num_k, dim)
                        written = [slot for slot in slots.tolist() if slot >= 0]
                        self.assertTrue(torch.equal(flat[written], side.unflatten(1, (-1, dim))[slots >= 0]))
                        self.assertEqual(flat.abs().sum((1, 2)).count_nonzero().item(), len(written))

    def test_sglang_axes_that_are_written_to_are_read_again(self) -> None:
        made, dim = Inputs(self.device), 128
        axes = torch.zeros(dim // 2, dtype=torch.int64, device=self.device)
        weight, cos_sin = made.weight(dim), made.cos_sin(dim, torch.bfloat16)
        positions, heads = torch.tensor([[3], [4], [5]], device=self.device), made.heads(2, dim)

        def run() -> Tensor:
            q, k = heads[:1].clone(), heads[1:].clone()
            sglang.fused_qk_norm_mrope(q, k, weight, weight, cos_sin, positions, axes, EPS)
            return q

        first = run()
        axes.fill_(1)
        self.assertFalse(torch.equal(first, run()))
        axes.zero_()
        self.assertTrue(torch.equal(first, run()))
        with torch.inference_mode():  # whose tensors do not tell
            axes = torch.zeros_like(axes)
            self.assertTrue(torch.equal(first, run()))
            axes.fill_(1)
            self.assertFalse(torch.equal(first, run()))

    def test_sglang_axes_beyond_a_byte_are_refused(self) -> None:
        made, dim = Inputs(self.device), 128
        given = (made.heads(1, dim), made.heads(1, dim), made.weight(dim), made.weight(dim))
        for wrong in (256, -1):
            axes = torch.full((64,), wrong, device=self.device)
            with self.subTest(wrong=wrong), self.refuses("invalid-argument", "axis_map is a tensor of other numbers"):
                sglang.fused_qk_norm_mrope(
                    *given, made.cos_sin(dim, torch.bfloat16), made.positions(3, 1), axes, EPS
                )

    def test_the_original_runs_whatever_the_tokens_once_a_call_was_refused(self) -> None:
        made, dim, seen = Inputs(self.device), 64, []  # no kernel
        replaced = or_original(sglang.fused_qk_norm_mrope, lambda *_: True)(lambda q, *_: seen.append(len(q)))
        axes, weight = torch.zeros(32, device=self.device).long(), made.weight(dim)
        cos_sin = made.cos_sin(dim, made.dtype)
        with self.assertLogs("normrope", "WARNING") as logged:
            for tokens in (1, 2, 3):
                heads = made.heads(2, tokens, dim)
                replaced(*heads, weight, weight, cos_sin, made.positions(3, tokens), axes, EPS)
        self.assertEqual((seen, len(logged.output)), ([1, 2, 3], 1))

    def test_a_refusal_is_said_once_and_of_that_call_alone(self) -> None:
        made, dim = Inputs(self.device), 128
        weight, cos_sin = made.weight(dim), made.cos_sin(dim, made.dtype)
        replaced = or_original(vllm.fused_qk_norm_rope, lambda *_: True)(lambda qkv, *_: qkv.fill_(7))

        def is_original(shape: tuple[int, ...], tokens: int) -> bool:
            qkv = made.heads(tokens, 4 * dim)
            replaced(qkv, 2, 1, 1, dim, EPS, weight, weight, cos_sin, True, made.positions(*shape))
            return bool((qkv == 7).all().item())

        with self.assertLogs("normrope", "WARNING") as logged:
            for tokens in (1, 2, 3):
                self.assertTrue(is_original((3, tokens), tokens))
                self.assertTrue(is_original((tokens + 1,), tokens))
                self.assertFalse(is_original((tokens,), tokens))
        self.assertEqual(len(logged.output), 1)
        self.assertIn("position_ids", logged.output[0])

    def test_sglang_needs_all_of_a_cache(self) -> None:
        made, dim = Inputs(self.device), 128
        given = (made.heads(1, dim), made.heads(1, dim), made.weight(dim), made.weight(dim))
        rest = (made.cos_sin(dim, torch.bfloat16), made.positions(3, 1), torch.zeros(64, dtype=torch.int64), EPS)
        with self.refuses("invalid-argument", "key_cache is None", "given, as value is"):
            sglang.fused_qk_norm_mrope(*given, *rest, value=made.heads(1, dim))

    # TensorRT-LLM

    def test_tensorrt_llm_fused_qk_norm_rope(self) -> None:
        dim, counts, tokens, base = 128, (16, 8, 4), 8, 1e4
        for rotary_dim, is_neox, is_normed, gemma, sections in (
            (128, True, True, False, None),
            (128, False, True, False, None),
            (64, True, True, False, None),
            (64, False, True, False, None),
            (128, True, False, False, None),
            (128, True, True, True, (24, 16)),
        ):
            with self.subTest(rotary_dim=rotary_dim, is_neox=is_neox, is_normed=is_normed, gemma=gemma):
                made = Inputs(self.device)
                qkv, weights = made.heads(tokens, sum(counts) * dim), [made.weight(dim) for _ in range(2)]
                shape = (tokens,) if sections is None else (3, tokens)
                positions, before = made.positions(*shape, dtype=torch.int32, last=4096), qkv.clone()
                arguments = (*counts, dim, rotary_dim, EPS, *weights, base, is_neox, positions, 1.0, 0.0, 0.0, 1.0)
                tensorrt_llm.fused_qk_norm_rope(
                    qkv, *arguments, is_normed, gemma, sections is not None, *(sections or (0, 0))
                )
                heads, was = (each.unflatten(1, (-1, dim)) for each in (qkv, before))
                self.assertTrue(torch.equal(heads[:, 24:], was[:, 24:]), "v was written")
                axes = None if sections is None else interleaved(rotary_dim // 2, *sections, self.device)
                cos, sin = angles_of(base, rotary_dim, positions, axes)
                for at, weight in ((slice(0, 16), weights[0]), (slice(16, 24), weights[1])):
                    y = normed(was[:, at], weight, float(gemma)) if is_normed else was[:, at].double()
                    self.assert_near(heads[:, at], *rotated(y, cos, sin, is_neox))

    def test_tensorrt_llm_yarn(self) -> None:
        """The same as SGLang's, whose tests cover it."""
        made, dim = Inputs(self.device), 128
        qkv, weight, positions = made.heads(4, 4 * dim), made.weight(dim), made.positions(4, last=10_000)
        again = qkv.clone()
        yarn = (2.5, 4.0, 32.0, 0.9)
        tensorrt_llm.fused_qk_norm_rope(
            qkv, 2, 1, 1, dim, dim, EPS, weight, weight, 5e5, True, positions, *yarn, True, False, False, 0, 0
        )
        normrope.fused_qk_norm_rope(again, 2, 1, 1, dim, EPS, weight, weight, 5e5, True, positions, *yarn)
        self.assertTrue(torch.equal(qkv, again))

    def test_tensorrt_llm_to_fp8(self) -> None:
        dim, base = 128, 1e4
        for counts, tokens, rotary_dim in (((16, 8, 4), 8, 128), ((8, 1, 1), 3, 64)):
            with self.subTest(counts=counts, rotary_dim=rotary_dim):
                made = Inputs(self.device)
                qkv, weights = made.heads(tokens, sum(counts) * dim), [made.weight(dim) for _ in range(2)]
                qkv[0, -1] = 1e4  # beyond FP8
                positions, before = made.positions(tokens, dtype=torch.int32), qkv.clone()
                arguments = (*counts, dim, rotary_dim, EPS, *weights, base, True, positions, 1.0, 0.0, 0.0, 1.0)
                result = tensorrt_llm.fused_qk_norm_rope_to_fp8(qkv, *arguments, True, False, False, 0, 0)
                self.assertEqual((result.dtype, result.shape), (FP8, qkv.shape))
                self.assertTrue(torch.equal(qkv, before))
                num_q, num_k, _ = counts
                out, was = (each.unflatten(1, (-1, dim)) for each in (result.double(), before))
                self.assertTrue(torch.equal(out[:, num_q + num_k :], to_fp8(was[:, num_q + num_k :].double())))
                cos, sin = angles_of(base, rotary_dim, positions)
                for at, weight in ((slice(0, num_q), weights[0]), (slice(num_q, num_q + num_k), weights[1])):
                    y, _ = rotated(normed(was[:, at], weight), cos, sin)
                    # Where float64 is close to the middle of two numbers of FP8, float32 may take the other.
                    differs = out[:, at] != to_fp8(y)
                    self.assertLessEqual(differs.double().mean().item(), 1e-3)
                    self.assertLessEqual(((out[:, at] - y).abs() - 2.0**-4 * y.abs()).max().item(), 2.0**-9)
