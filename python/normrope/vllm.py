"""vLLM's functions for this op, by their signatures.

In: what vLLM passes. Out: the same work in one launch of a kernel of this package. Must not import vLLM: `plugins` puts
these in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._library import LibraryPath
from ._packed import PACKED, columns_of, heads_of, require_tensor, section_axes
from ._point import as_int, rope_of
from ._qk_norm_rope import qk_norm_rope, qk_norm_rope_
from .errors import invalid_argument, renaming, require_count, unfit_argument
from .support import has_kernel

_NAMES = {**PACKED, "positions": "position_ids", "cos_sin": "cos_sin_cache"}


def fused_qk_norm_rope(
    qkv: Any,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    eps: float,
    q_weight: Any,
    k_weight: Any,
    cos_sin_cache: Any,
    is_neox: bool,
    position_ids: Any,
    forced_token_heads_per_warp: int = -1,
    *,
    dtype: Any = None,
    library: LibraryPath = None,
) -> None:
    """`torch.ops._C.fused_qk_norm_rope`: RMSNorm of every q and k head, then RoPE, in place; v is not touched.

    Beyond vLLM's: any head_dim, rows that are apart, int32 positions, float32 weights, and tensors on the CPU. What
    differs: `cos_sin_cache` is of qkv's dtype or float32. As in vLLM's, all is float32 inside, with one rounding at the
    end; results differ by the order in which sums are made.

    Args:
        qkv: `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`, bf16 or f16.
        eps: Added to the mean of squares.
        q_weight: `[head_dim]`, of qkv's dtype or float32; so is `k_weight`.
        cos_sin_cache: `[rows, rotary_dim]`, cosines and then sines; None: heads are normed, and nothing rotates.
        is_neox: Pairs (i, i + rotary_dim/2); otherwise (2i, 2i + 1).
        position_ids: `[num_tokens]`, int32 or int64: indices of rows.
        forced_token_heads_per_warp: Of no effect: the library chooses for itself.
        dtype: "bf16" or "f16", for arrays of bit patterns.
        library: As in `normrope.fused_qk_norm_rope`.

    Raises:
        NormropeError: As `normrope.fused_qk_norm_rope`; nothing was launched or written.
    """
    with renaming(_NAMES):
        q, k, _ = columns_of(qkv, num_heads_q, num_heads_k, num_heads_v, head_dim)
        qk_norm_rope_(
            qkv[:, q],
            qkv[:, k],
            q_weight=q_weight,
            k_weight=k_weight,
            eps=eps,
            head_dim=head_dim,
            dtype=dtype,
            library=library,
            **_rotation(cos_sin_cache, is_neox, position_ids, "position_ids"),
        )


def fused_qk_rmsnorm_rope_gate(
    q_gate: Any,
    k: Any,
    q_weight: Any,
    k_weight: Any,
    cos_sin_cache: Any,
    positions: Any,
    eps: float,
    num_q_heads: int,
    num_kv_heads: int,
    head_dim: int,
    rotary_dim: int,
    mrope_section: list[int] | tuple[int, ...] | None = None,
    norm_beta: float = 0.0,
    *,
    library: LibraryPath = None,
) -> tuple[Any, Any, Any]:
    """The function of this name in `vllm.model_executor.layers.fused_qk_norm_rope`, out of place, for a gate beside q.

    Heads are normed and rounded to their dtype, as in vLLM's; the rotation is float32 with one rounding at the end.

    Args:
        q_gate: `[num_tokens, num_q_heads * 2 * head_dim]`, bf16 or f16: each head of q, and then its gate.
        k: `[num_tokens, num_kv_heads * head_dim]`. Rows of both may be apart.
        q_weight: `[head_dim]`, of q's dtype or float32; so is `k_weight`.
        cos_sin_cache: `[rows, rotary_dim]`, of q's dtype or float32; not read if `rotary_dim` is 0.
        positions: `[num_tokens]`, or `[3, num_tokens]` with `mrope_section`; int32 or int64.
        eps: Added to the mean of squares.
        rotary_dim: Leading elements of a head that rotate, by NeoX pairs; 0: heads are only normed.
        mrope_section: Pairs that turn by time, height and width, interleaved as in Qwen3-VL.
        norm_beta: 0 multiplies by the weight; 1 by one plus the weight, as in Gemma and Qwen3-Next.
        library: As in `normrope.fused_qk_norm_rope`.

    Returns:
        q and the gate `[num_tokens, num_q_heads * head_dim]`, k `[num_tokens, num_kv_heads * head_dim]`, as
        `(q, k, gate)`. The gate is a copy.

    Raises:
        NormropeError: As `normrope.qk_norm_rope`; nothing was launched.
    """
    axes = _gate_axes(norm_beta)
    counts = {"num_q_heads": num_q_heads, "num_kv_heads": num_kv_heads, "head_dim": head_dim, "rotary_dim": rotary_dim}
    num_q, num_k, dim, rotating = [require_count(name, as_int(count)) for name, count in counts.items()]
    with renaming({"q": "q_gate", "v": "q_gate", "cos_sin": "cos_sin_cache"}):
        heads = heads_of("q_gate", q_gate, num_q, 2 * dim)
        results = qk_norm_rope(
            heads[..., :dim],
            heads_of("k", k, num_k, dim),
            heads[..., dim:],
            q_weight=q_weight,
            k_weight=k_weight,
            eps=eps,
            library=library,
            **axes,
            **_gate_rotation(cos_sin_cache, positions, rotating, mrope_section, q_gate.device),
        )
    q_out, k_out, gate = (result.flatten(1) for result in results)
    return q_out, k_out, gate


def has_gate_kernel(call: Mapping[str, Any]) -> bool:
    """Whether there is a kernel for a call of `fused_qk_rmsnorm_rope_gate`, by the names of its arguments. A function
    that is being compiled may ask."""
    norm_beta = call.get("norm_beta", 0.0)
    if norm_beta not in (0, 1):
        return False
    axes = _gate_axes(norm_beta)
    if call["rotary_dim"]:
        axes = {**axes, **_BETWEEN, "position_axes": 1 if call.get("mrope_section") is None else 3}
    heads, q_weight, cos_sin = call["q_gate"], call["q_weight"], call["cos_sin_cache"]
    return has_kernel(heads, call["head_dim"], True, call["rotary_dim"], q_weight, cos_sin, **axes)


#: As vLLM's, it rounds heads to their dtype between the norm and the rotation.
_BETWEEN = {"norm_rounding": "after_weight"}


def _gate_axes(norm_beta: Any) -> dict[str, Any]:
    if isinstance(norm_beta, (int, float)) and norm_beta in (0, 1):
        return {"value": "copy", "weight": "one_plus" if norm_beta else "plain"}
    raise invalid_argument("norm_beta", norm_beta, "0, for the weight, or 1, for one plus the weight")


def _gate_rotation(cos_sin: Any, positions: Any, rotary_dim: int, sections: Any, device: Any) -> dict[str, Any]:
    if rotary_dim == 0:
        return {}
    want = f"[rows, {rotary_dim}], as rotary_dim is {rotary_dim}"
    shape = require_tensor("cos_sin_cache", cos_sin, want).shape
    if len(shape) != 2 or shape[1] != rotary_dim:
        raise unfit_argument("cos_sin_cache", f"a tensor of shape {list(shape)}", want)
    rotation = {**_rotation(cos_sin, True, positions, "positions"), **_BETWEEN}
    if sections is None:
        return rotation
    if not isinstance(sections, (list, tuple)):
        raise invalid_argument("mrope_section", sections, "three numbers, or None")
    return {**rotation, "pair_axes": section_axes("mrope_section", tuple(sections), rotary_dim, device)}


def _rotation(cos_sin: Any, is_neox: Any, positions: Any, positions_name: str) -> dict[str, Any]:
    rope = rope_of(is_neox)
    if cos_sin is None:
        return {}
    if positions is None:  # rows would be the tokens'
        raise invalid_argument(positions_name, None, "given")
    return {"cos_sin": cos_sin, "positions": positions, "rope": rope}
