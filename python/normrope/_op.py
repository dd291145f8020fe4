"""The public call: `sgl_kernel`'s name and arguments, for tensors and for plain buffers.

In: what the caller passes. Out: one launch, in place, or a typed error and nothing launched. Decides only which of the
two it is; torch is not imported before somebody else has.
"""

from __future__ import annotations

import sys
from typing import Any

from ._buffers import run_on_buffers
from ._call import read_numbers
from ._kernels import Place
from ._torch_version import require_version, why_unfit
from .errors import unfit_argument

_torch_op: Any = None


def fused_qk_norm_rope(
    qkv: Any,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    eps: float,
    q_weight: Any,
    k_weight: Any,
    base: float,
    is_neox: bool,
    position_ids: Any,
    factor: float,
    low: float,
    high: float,
    attention_factor: float,
    rotary_dim: int | None = None,
    *,
    dtype: Any = None,
    library: Place = None,
) -> None:
    """RMSNorm of every q and k head of a packed qkv, then RoPE, in place; v is not touched.

    The arguments are those of `sgl_kernel.fused_qk_norm_rope` and of SGLang's JIT wrapper. Tensors are worked on where
    they lie, on the current stream of their device; plain buffers on the CPU.

    Args:
        qkv: `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`, bf16 or f16. Rows may be apart; a
            head is contiguous. A plain buffer may be flat.
        eps: Added to the mean of squares; not negative.
        q_weight: `[head_dim]`, of qkv's dtype, contiguous; so is `k_weight`.
        base: `rope_theta`.
        is_neox: Pairs (i, i + rotary_dim/2); otherwise (2i, 2i + 1).
        position_ids: `[num_tokens]`, int32 or int64, contiguous; any value, angles are reduced exactly.
        factor: YaRN's factor; 1 is no scaling, and `low` and `high` mean nothing then.
        low: Index of the last frequency that stays, where `factor` is not 1.
        high: Index of the first frequency that is divided by `factor`.
        attention_factor: Multiplies cosine and sine; 1 without scaling.
        rotary_dim: Leading elements of a head that rotate; default `head_dim`.
        dtype: "bf16" or "f16": what the bit patterns of a plain buffer are, where its type does not tell.
        library: A library file, or a folder that holds one for each target; default: `NORMROPE_LIBRARY`, else
            `./build`. What it lacks comes from the cache, or is compiled into it.

    Raises:
        NormropeError: `invalid-argument`, `kernel-not-found`, `compile-failed`, `library-not-found`, `library-invalid`,
            `cpu-unsupported`, `torch-unsupported`, `no-device`, `out-of-memory`, `device-error`; nothing was
            launched or written.
    """
    op = _torch_op or find_torch_op()
    if op is not None and isinstance(qkv, op.Tensor):
        if dtype is not None:
            raise unfit_argument("dtype", "given", "left out: a tensor has its own")
        op.implementation_for(qkv, q_weight, k_weight, position_ids)(
            qkv,
            num_heads_q,
            num_heads_k,
            num_heads_v,
            head_dim,
            eps,
            q_weight,
            k_weight,
            base,
            is_neox,
            position_ids,
            factor,
            low,
            high,
            attention_factor,
            rotary_dim,
            library=library,
        )
        return
    torch = sys.modules.get("torch")
    if isinstance(qkv, getattr(torch, "Tensor", ())):
        require_version(torch)
    numbers = read_numbers(
        *(num_heads_q, num_heads_k, num_heads_v, head_dim, eps, base, is_neox),
        *(factor, low, high, attention_factor, rotary_dim),
    )
    run_on_buffers(numbers, qkv, q_weight, k_weight, position_ids, dtype, library)


def find_torch_op() -> Any:
    """The module that knows torch, once torch was imported; None before, and for a torch that is too old."""
    global _torch_op
    if _torch_op is None and "torch" in sys.modules and why_unfit(sys.modules["torch"]) is None:
        from . import torch_op

        _torch_op = torch_op
    return _torch_op
