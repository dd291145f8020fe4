"""A model that imports the function by its name, and holds the op as vLLM's compiler pass does."""

import torch
from vllm.model_executor.layers.fused_qk_norm_rope import fused_qk_rmsnorm_rope_gate

FUSED_QK_ROPE_OP = torch.ops._C.fused_qk_norm_rope.default


def forward(device, head_dim=128):
    """Ones at a row without rotation stay ones; the v head has another value."""
    options = {"dtype": torch.bfloat16, "device": device}
    positions = torch.zeros(1, dtype=torch.int64, device=device)
    results = {}
    qkv, weight = torch.ones(1, 3 * head_dim, **options), torch.ones(head_dim, **options)
    qkv[:, 2 * head_dim :] = 2
    cos_sin = torch.cat([torch.ones(1, head_dim // 2), torch.zeros(1, head_dim // 2)], 1).to(**options)
    if device == "cuda":
        FUSED_QK_ROPE_OP(qkv, 1, 1, 1, head_dim, 0.0, weight, weight, cos_sin, True, positions)
        results["op"] = sorted(set(qkv.float().flatten().tolist()))
    dim, rotary_dim = 256, 64
    gated, k, weight = torch.ones(1, 2 * dim, **options), torch.ones(1, dim, **options), torch.ones(dim, **options)
    cos_sin = torch.cat([torch.ones(1, rotary_dim // 2), torch.zeros(1, rotary_dim // 2)], 1).to(**options)
    rest = (positions, 0.0, 1, 1, dim, rotary_dim, None, 1.0)
    found = fused_qk_rmsnorm_rope_gate(gated, k, weight, weight, cos_sin, *rest)
    results["gate"] = found if isinstance(found, str) else [sorted(set(each.flatten().tolist())) for each in found]
    return results
