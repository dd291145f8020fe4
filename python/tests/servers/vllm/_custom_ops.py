"""Defines the op, as vLLM's shared library does when this module loads it."""

import torch

_library = torch.library.Library("_C", "DEF")
_library.define(
    "fused_qk_norm_rope(Tensor! qkv, int num_heads_q, int num_heads_k, int num_heads_v, int head_dim, float eps, "
    "Tensor q_weight, Tensor k_weight, Tensor cos_sin_cache, bool is_neox, Tensor position_ids, "
    "int forced_token_heads_per_warp=-1) -> ()"
)


def _original(qkv, *given):
    qkv.fill_(7)


_library.impl("fused_qk_norm_rope", _original, "CUDA")
