"""The op on q, k and v, wherever they lie: tensors of torch, or plain buffers on the CPU.

Written by `npm run compile` from the table of inputs, dsl/inputs.ts, and the op's axes. docs/python.md has examples.
"""

from __future__ import annotations

from typing import Any

from ._general import apply, apply_in_place, shipped_form
from ._library import LibraryPath

#: The call, with the arguments that are memory in the order of the table of inputs.
FORM = shipped_form(
    (
        "q", "q_out", "q_weight", "q_bias", "q_out_scale", "k", "k_out", "k_weight", "k_bias", "k_cache",
        "k_cache_scale", "k_out_scale", "v", "v_out", "v_cache", "v_cache_scale", "v_out_scale", "positions",
        "pair_axes", "cos_sin", "slots", "rope_table",
    )
)


def qk_norm_rope(
    q: Any,
    k: Any = None,
    v: Any = None,
    *,
    q_out: Any = None,
    q_weight: Any = None,
    q_bias: Any = None,
    q_out_scale: Any = None,
    k_out: Any = None,
    k_weight: Any = None,
    k_bias: Any = None,
    k_cache: Any = None,
    k_cache_scale: Any = None,
    k_out_scale: Any = None,
    v_out: Any = None,
    v_cache: Any = None,
    v_cache_scale: Any = None,
    v_out_scale: Any = None,
    positions: Any = None,
    pair_axes: Any = None,
    rope_table: Any = None,
    cos_sin: Any = None,
    slots: Any = None,
    attention_factor: float | None = None,
    eps: float | None = None,
    rope: str | None = None,
    norm: str | None = None,
    weight: str | None = None,
    norm_rounding: str | None = None,
    rotary_at: str | None = None,
    rope_rounding: str | None = None,
    value: str | None = None,
    head_dim: int | None = None,
    heads_dim: int = -2,
    dtype: Any = None,
    cache_only: bool = False,
    out_dtype: Any = None,
    pdl: bool = False,
    library: LibraryPath = None,
) -> tuple[Any, ...]:
    """Norm and rotary embedding of every head of q and k, in one pass and out of place; v may be normed or copied.

    k and v may go into a paged KV cache, too.

    Heads lie in `[tokens, heads, dim]` or `[batch, tokens, heads, dim]`. A head is contiguous; the other strides are
    any multiples of the kernel's vector, at most 4 elements, so a slice of packed rows works as it is. Nothing is
    copied. Tensors run on the current stream of their device, plain buffers on the CPU. There is no backward.

    Args:
        q: Heads, bf16 or f16.
        k: Heads, of q's dtype, with as many tokens; default: none.
        v: Heads, of q's dtype, with as many tokens; default: none.
        q_out: Where the results of q go, of q's shape, of q's dtype or e4m3; default: a new tensor.
        q_weight: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype, or float32.
        q_bias: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype, or float32.
        q_out_scale: `[]`, `[1]` or `[num_heads]`, float32: an e4m3 `q_out` stores a result divided by it; default: 1.
        k_out: Where the results of k go, of k's shape, of q's dtype or e4m3; default: a new tensor.
        k_weight: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype, or float32.
        k_bias: `[head_dim]` or `[num_heads, head_dim]`, of q's dtype, or float32.
        k_cache: `[blocks, block_size, num_heads, head_dim]`, or a pool of `[slots, num_heads, head_dim]`, of q's dtype
            or e4m3: the paged KV cache that the results of k go into, too. Its strides are as those of heads. Default:
            none.
        k_cache_scale: `[]`, `[1]` or `[num_heads]`, float32: an e4m3 `k_cache` stores a result divided by it; default:
            1.
        k_out_scale: `[]`, `[1]` or `[num_heads]`, float32: an e4m3 `k_out` stores a result divided by it; default: 1.
        v_out: Where the results of v go, of v's shape, of q's dtype or e4m3; default: a new tensor.
        v_cache: `[blocks, block_size, num_heads, head_dim]`, or a pool of `[slots, num_heads, head_dim]`, of q's dtype
            or e4m3: the paged KV cache that the results of v go into, too. Its strides are as those of heads. Default:
            none.
        v_cache_scale: `[]`, `[1]` or `[num_heads]`, float32: an e4m3 `v_cache` stores a result divided by it; default:
            1.
        v_out_scale: `[]`, `[1]` or `[num_heads]`, float32: an e4m3 `v_out` stores a result divided by it; default: 1.
        positions: `[num_tokens]`, or `[axes, num_tokens]` with `pair_axes`; a batch comes before the tokens. int32 or
            int64. With a table any value, since angles are reduced exactly. With `cos_sin` the index of a row; left
            out if rows are the tokens'.
        pair_axes: `[rotary_dim / 2]`, uint8: the axis whose position turns each pair, as `normrope.pair_axes` makes
            it. Default: a token has one position.
        rope_table: The angles: a `RopeTable`; or its turns, `[rotary_dim / 2]` uint64, of `normrope_rope_table`.
            Without a table and `cos_sin` nothing rotates.
        cos_sin: `[rows, rotary_dim]`, of q's dtype or float32, in place of a table: cosines, then sines, of a
            position; or of a token, `[num_tokens, rotary_dim]`, also with a batch in front.
        slots: `[num_tokens]`, or `[batch, num_tokens]`, int32 or int64: where each token goes in the caches. Slot s is
            slot `s % block_size` of block `s // block_size`. Below 0 a token goes into no cache. No two from 0 on are
            equal. Needed with a cache.
        attention_factor: Multiplies cosine and sine; finite; 1 without YaRN or longrope. Default: the table's.
        eps: Added to the mean of squares; 0, or from 2^-126 on. Needed if the kernel takes it.
        rope: One of neox, interleaved. Needed if rotary_dim gives it a meaning.
        norm: One of rms, layer, none; default rms.
        weight: One of plain, one_plus, none; default plain.
        norm_rounding: One of once, before_weight, after_weight, scale; default once.
        rotary_at: One of leading, trailing; default leading.
        rope_rounding: One of once, products, sum; default once.
        value: One of none, copy, norm; default none.
        head_dim: Elements of a head, if heads and outputs are rows: `[tokens, heads * dim]` or
            `[batch, tokens, heads * dim]`.
        heads_dim: The dimension of the heads in inputs and outputs: -3 if they come before the tokens, as in
            `[batch, heads, tokens, dim]`. If no one stride reaches all tokens of a batch, each sequence is a launch.
        dtype: "bf16" or "f16", for plain buffers of bit patterns, whose type does not tell.
        cache_only: Whether sides with a cache go there alone: they have no output, and their heads stay as they are.
        out_dtype: The dtype of new outputs: q's, which is the default, or FP8, "e4m3" or `torch.float8_e4m3fn`.
        pdl: Programmatic dependent launch. No kernel that may still be unfinished, back to the last ordinary launch in
            the stream, may write the weights, the biases, `pair_axes` or the table.
        library: A library file, or a folder that holds one for each target; default: `NORMROPE_LIBRARY`, else
            `./build`. What it lacks comes from a wheel's own library or the cache, or is compiled.

    Returns:
        The result for each side, in order: the output that is given, else a new tensor; None for a side that is left
        out or only goes into its cache, except that without v there is no result for v.

    Raises:
        NormropeError: `invalid-argument`, `kernel-not-found`, `compile-failed`, `library-not-found`, `library-invalid`,
            `cpu-unsupported`, `torch-unsupported`, `no-device`, `out-of-memory`, `device-error`; nothing was
            launched or written.
    """
    results = apply(
        FORM,
        (
            q, q_out, q_weight, q_bias, q_out_scale, k, k_out, k_weight, k_bias, k_cache, k_cache_scale, k_out_scale,
            v, v_out, v_cache, v_cache_scale, v_out_scale, positions, pair_axes, cos_sin, slots,
        ),
        rope_table,
        (
            rope, norm, weight, norm_rounding, rotary_at, rope_rounding, value, attention_factor, eps, head_dim,
            heads_dim, cache_only, out_dtype, pdl, library,
        ),
        dtype,
    )
    return results if v is not None else results[:-1]


def qk_norm_rope_(
    q: Any,
    k: Any = None,
    v: Any = None,
    *,
    q_weight: Any = None,
    q_bias: Any = None,
    k_weight: Any = None,
    k_bias: Any = None,
    k_cache: Any = None,
    k_cache_scale: Any = None,
    v_cache: Any = None,
    v_cache_scale: Any = None,
    positions: Any = None,
    pair_axes: Any = None,
    rope_table: Any = None,
    cos_sin: Any = None,
    slots: Any = None,
    attention_factor: float | None = None,
    eps: float | None = None,
    rope: str | None = None,
    norm: str | None = None,
    weight: str | None = None,
    norm_rounding: str | None = None,
    rotary_at: str | None = None,
    rope_rounding: str | None = None,
    value: str | None = None,
    head_dim: int | None = None,
    heads_dim: int = -2,
    dtype: Any = None,
    cache_only: bool = False,
    pdl: bool = False,
    library: LibraryPath = None,
) -> None:
    """The same in place: heads are read and written. The arguments are those of `qk_norm_rope`, but for outputs.

    With `cache_only` only q is written in place; k and v go into their caches. With `value` none v never is, either.
    """
    apply_in_place(
        FORM,
        (
            q, None, q_weight, q_bias, None, k, None, k_weight, k_bias, k_cache, k_cache_scale, None, v, None, v_cache,
            v_cache_scale, None, positions, pair_axes, cos_sin, slots,
        ),
        rope_table,
        (
            rope, norm, weight, norm_rounding, rotary_at, rope_rounding, value, attention_factor, eps, head_dim,
            heads_dim, cache_only, None, pdl, library,
        ),
        dtype,
    )
