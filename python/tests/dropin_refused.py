"""What the functions by others' signatures refuse: in the caller's words, with nothing written."""

from __future__ import annotations

import torch

from case import DeviceCase
from dropin_oracle import EPS, Inputs
from normrope import tensorrt_llm, vllm


class RefusedCases(DeviceCase):
    config = "dropins"

    def test_errors_are_in_the_caller_s_words(self) -> None:
        made, dim = Inputs(self.device), 128
        weight, cos_sin, positions = made.weight(dim), made.cos_sin(dim, torch.bfloat16), made.positions(2)
        rows = made.heads(2, 4 * dim)
        of_op = dict(qkv=rows, num_heads_q=2, num_heads_k=1, num_heads_v=1, head_dim=dim, eps=EPS, q_weight=weight)
        of_op |= dict(k_weight=weight, cos_sin_cache=cos_sin, is_neox=True, position_ids=positions)
        of_gate = dict(q_gate=rows, k=rows, q_weight=weight, k_weight=weight, cos_sin_cache=cos_sin, eps=EPS)
        of_gate |= dict(positions=positions, num_q_heads=2, num_kv_heads=4, head_dim=dim, rotary_dim=dim)
        of_trt = {name: value for name, value in of_op.items() if name != "cos_sin_cache"}
        of_trt |= dict(rotary_dim=dim, base=1e4, factor=1.0, low=0.0, high=0.0, attention_factor=1.0)
        mrope = dict(position_ids=made.positions(3, 2), use_mrope=True)
        op, gate = vllm.fused_qk_norm_rope, vllm.fused_qk_rmsnorm_rope_gate
        to_fp8 = tensorrt_llm.fused_qk_norm_rope_to_fp8
        before = rows.clone()
        for call, given, change, parts in (
            (op, of_op, dict(num_heads_q=3), ("qkv is a tensor of shape [2, 512]", "rows of 3 + 1 + 1 heads of 128")),
            (op, of_op, dict(num_heads_q=-1), ("num_heads_q is -1",)),
            (op, of_op, dict(qkv=rows.float()), ("qkv is a tensor of float32",)),
            (op, of_op, dict(position_ids=positions[:1]), ("position_ids",)),
            (op, of_op, dict(position_ids=None), ("position_ids is None",)),
            (op, of_op, dict(cos_sin_cache=cos_sin.half()), ("cos_sin_cache is a tensor of f16",)),
            (op, of_op, dict(is_neox=1), ("is_neox is 1", "True or False")),
            (gate, of_gate, dict(norm_beta=0.5), ("norm_beta is 0.5",)),
            (gate, of_gate, dict(norm_beta=torch.ones(2)), ("norm_beta is an object of type Tensor",)),
            (gate, of_gate, dict(cos_sin_cache=5), ("cos_sin_cache is 5", "[rows, 128]")),
            (gate, of_gate, dict(cos_sin_cache=cos_sin[0]), ("cos_sin_cache is a tensor of shape [128]",)),
            (gate, of_gate, dict(num_q_heads=3), ("q_gate is a tensor of shape [2, 512]", "[num_tokens, 768]")),
            (gate, of_gate, dict(q_gate=None), ("q_gate is None",)),
            (gate, of_gate, dict(k=None), ("k is None",)),
            (gate, of_gate, dict(head_dim=256.0), ("head_dim is 256.0",)),
            (gate, of_gate, dict(rotary_dim=None), ("rotary_dim is None",)),
            (gate, of_gate, dict(rotary_dim=64), ("cos_sin_cache is a tensor of shape [97, 128]", "rotary_dim is 64")),
            (gate, of_gate, dict(cos_sin_cache=None), ("cos_sin_cache is None", "as rotary_dim is 128")),
            (gate, of_gate, dict(positions=None), ("positions is None",)),
            (gate, of_gate, dict(mrope_section=[24, 20, 19]), ("mrope_section is [24, 20, 19]", "with a sum of 64")),
            (gate, of_gate, dict(mrope_section=[32, 32]), ("mrope_section is [32, 32]", "three numbers")),
            (gate, of_gate, dict(mrope_section=64), ("mrope_section is 64",)),
            (to_fp8, of_trt, dict(qkv=None), ("qkv is None",)),
            (to_fp8, of_trt, dict(is_neox="no"), ('is_neox is "no"',)),
            (to_fp8, of_trt, dict(position_ids=None), ("position_ids is None",)),
            (to_fp8, of_trt, dict(is_qk_norm="no"), ('is_qk_norm is "no"', "True or False")),
            (to_fp8, of_trt, dict(use_gemma=1), ("use_gemma is 1", "True or False")),
            (to_fp8, of_trt, dict(use_mrope=None), ("use_mrope is None", "True or False")),
            (to_fp8, of_trt, dict(attention_factor=-1.0), ("attention_factor is -1.0",)),
            (
                *(to_fp8, of_trt, dict(**mrope, mrope_section1=40, mrope_section2=30)),
                ("mrope_section1 is 40, and mrope_section2 30", "at most 64 with it"),
            ),
            (to_fp8, of_trt, dict(**mrope, mrope_section1=None), ("mrope_section1 is None",)),
        ):
            with self.subTest(call=call.__name__, change=list(change)), self.refuses("invalid-argument", *parts):
                call(**{**given, **change})
        self.assertTrue(torch.equal(rows, before))
        self.assertFalse(vllm.has_gate_kernel({**of_gate, "norm_beta": 0.5}), "a trace takes the original")
