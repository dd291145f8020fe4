"""The op on q and k, wherever they lie: tensors of torch, or plain buffers on the CPU.

Written by `npm run compile` from the table of inputs, dsl/inputs.ts, and the op's axes. docs/python.md has examples.
"""

from __future__ import annotations

from typing import Any

from ._general import SHIPPED_FORM, apply, apply_in_place
from ._library import LibraryPath


def qk_norm_rope(
    q: Any,
    k: Any = None,
    v: Any = None,
    *,
    eps: float,
    rope: str,
    q_out: Any = None,
    q_weight: Any = None,
    q_bias: Any = None,
    k_out: Any = None,
    k_weight: Any = None,
    k_bias: Any = None,
    v_out: Any = None,
    v_weight: Any = None,
    v_bias: Any = None,
    positions: Any = None,
    pair_axes: Any = None,
    rope_table: Any = None,
    cos_sin: Any = None,
    attention_factor: float | None = None,
    norm: str | None = None,
    weight: str | None = None,
    norm_rounding: str | None = None,
    rotary_at: str | None = None,
    rope_rounding: str | None = None,
    value: str | None = None,
    head_dim: int | None = None,
    heads_dim: int = -2,
    dtype: Any = None,
    pdl: bool = False,
    library: LibraryPath = None,
) -> tuple[Any, ...]:
    """RMSNorm of every head of q and k, then RoPE, out of place.

    Heads lie in `[tokens, heads, dim]` or `[batch, tokens, heads, dim]`. A head is contiguous; the other strides are
    any multiples of the kernel's vector, at most 4 elements, so a slice of packed rows works as it is. Nothing is
    copied. Tensors run on the current stream of their device, plain buffers on the CPU. There is no backward.

    Args:
        q: Heads, bf16 or f16.
        k: Heads, of q's dtype, with as many tokens; default: none.
        v: Heads, of q's dtype, with as many tokens; default: none.
        eps: Added to the mean of squares; 0, or from 2^-126 on.
        rope: One of neox, interleaved.
        q_out: Where the results of q go, of q's shape; default: a new tensor.
        q_weight: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype.
        q_bias: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype.
        k_out: Where the results of k go, of k's shape; default: a new tensor.
        k_weight: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype.
        k_bias: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype.
        v_out: Where the results of v go, of v's shape; default: a new tensor.
        v_weight: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype.
        v_bias: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype.
        positions: `[position_axes, num_tokens]`, int32 or int64, also with a batch in front; any value, angles are reduced exactly.
        pair_axes: `[rotary_dim / 2]`, uint8.
        rope_table: The angles: a `RopeTable`; or its turns, `[rotary_dim / 2]` uint64, of `normrope_rope_table`.
        cos_sin: `[rows, rotary_dim]`, of q's dtype.
        attention_factor: Multiplies cosine and sine; finite; 1 without YaRN or longrope. Default: the table's.
        norm: One of rms, layer, none; default rms.
        weight: One of plain, one_plus, none; default plain.
        norm_rounding: One of once, before_weight, after_weight, scale; default once.
        rotary_at: One of leading, trailing; default leading.
        rope_rounding: One of once, products, sum; default once.
        value: One of none, copy, norm; default none.
        head_dim: Elements of a head, if q, k and outputs are rows: `[tokens, heads * dim]` or
            `[batch, tokens, heads * dim]`.
        heads_dim: The dimension of the heads in q, k and outputs: -3 if they come before the tokens, as in
            `[batch, heads, tokens, dim]`. If no one stride reaches all tokens of a batch, each sequence is a launch.
        dtype: "bf16" or "f16", for plain buffers of bit patterns, whose type does not tell.
        pdl: Programmatic dependent launch. No kernel that may still be unfinished, back to the last ordinary launch in
            the stream, may write the weights or the table.
        library: A library file, or a folder that holds one for each target; default: `NORMROPE_LIBRARY`, else
            `./build`. What it lacks comes from the cache, or is compiled into it.

    Returns:
        The results for q and k: q_out and k_out and v_out if they are given, else new tensors; None for k if it is left out.

    Raises:
        NormropeError: `invalid-argument`, `kernel-not-found`, `compile-failed`, `library-not-found`, `library-invalid`,
            `cpu-unsupported`, `torch-unsupported`, `no-device`, `out-of-memory`, `device-error`; nothing was
            launched or written.
    """
    return apply(
        SHIPPED_FORM,
        (q, q_out, q_weight, q_bias, k, k_out, k_weight, k_bias, v, v_out, v_weight, v_bias, positions, pair_axes, cos_sin),
        rope_table,
        (rope, norm, weight, norm_rounding, rotary_at, rope_rounding, value, attention_factor, eps, head_dim, heads_dim, pdl, library),
        dtype,
    )


def qk_norm_rope_(
    q: Any,
    k: Any = None,
    v: Any = None,
    *,
    eps: float,
    rope: str,
    q_weight: Any = None,
    q_bias: Any = None,
    k_weight: Any = None,
    k_bias: Any = None,
    v_weight: Any = None,
    v_bias: Any = None,
    positions: Any = None,
    pair_axes: Any = None,
    rope_table: Any = None,
    cos_sin: Any = None,
    attention_factor: float | None = None,
    norm: str | None = None,
    weight: str | None = None,
    norm_rounding: str | None = None,
    rotary_at: str | None = None,
    rope_rounding: str | None = None,
    value: str | None = None,
    head_dim: int | None = None,
    heads_dim: int = -2,
    dtype: Any = None,
    pdl: bool = False,
    library: LibraryPath = None,
) -> None:
    """The same in place: q and k are read and written. The arguments are those of `qk_norm_rope`."""
    apply_in_place(
        SHIPPED_FORM,
        (q, None, q_weight, q_bias, k, None, k_weight, k_bias, v, None, v_weight, v_bias, positions, pair_axes, cos_sin),
        rope_table,
        (rope, norm, weight, norm_rounding, rotary_at, rope_rounding, value, attention_factor, eps, head_dim, heads_dim, pdl, library),
        dtype,
    )
