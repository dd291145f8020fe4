"""SGLang's functions for this op, by their signatures.

In: what SGLang passes. Out: the same work in one launch of a kernel of this package. Must not import SGLang: `plugins`
puts these in their place.
"""

from __future__ import annotations

from typing import Any

from ._fused import fused_qk_norm_rope
from ._library import LibraryPath
from ._packed import axes_as_bytes
from ._qk_norm_rope import qk_norm_rope_
from .errors import invalid_argument, renaming
from .support import can_use_fused_qk_norm_rope

__all__ = ["can_use_fused_qk_norm_rope", "fused_qk_norm_mrope", "fused_qk_norm_rope"]

_NAMES = {"v": "value", "cos_sin": "cos_sin_cache", "pair_axes": "axis_map"}
_NAMES |= {"k_cache": "key_cache", "v_cache": "value_cache"}


def fused_qk_norm_mrope(
    q: Any,
    k: Any,
    q_weight: Any,
    k_weight: Any,
    cos_sin_cache: Any,
    positions: Any,
    axis_map: Any,
    eps: float,
    *,
    value: Any = None,
    key_cache: Any = None,
    value_cache: Any = None,
    slots: Any = None,
    dtype: Any = None,
    library: LibraryPath = None,
) -> None:
    """RMSNorm of q and k heads, then RoPE by several positions of a token, in place; with a KV cache, k and v go there,
    too. It is the function of this name in `sglang.kernels.ops.attention.fused_qk_norm_mrope`.

    Beyond SGLang's: any head_dim and rotary_dim, f16, FP8 caches, any GPU, and one to four axes. What differs: all is
    float32 inside, with one rounding at the end. SGLang's rounds after the norm, and rotates in bf16.

    Args:
        q: `[num_tokens, heads * head_dim]`, bf16 or f16, where rows may be apart; so are `k`, and `value`, which is v.
        q_weight: `[head_dim]`, of q's dtype or float32; so is `k_weight`. It tells head_dim.
        cos_sin_cache: `[rows, rotary_dim]`, of q's dtype or float32: cosines, then sines. Pairs are NeoX's.
        positions: `[axes, num_tokens]`, int32 or int64: indices of rows.
        axis_map: `[rotary_dim / 2]`, integers from 0: the axis of each pair.
        eps: Added to the mean of squares.
        value: `[num_tokens, heads * head_dim]`; needed with a cache.
        key_cache: `[pages, page_size, heads, head_dim]`, of q's dtype or FP8 with scale 1; so is `value_cache`.
        slots: `[num_tokens]`, int32 or int64: slot s is slot `s % page_size` of page `s // page_size`; below 0 a token
            goes into no cache.
        dtype: "bf16" or "f16", for arrays of bit patterns.
        library: As in `fused_qk_norm_rope`.

    Raises:
        NormropeError: As `fused_qk_norm_rope`; nothing was launched or written.
    """
    if cos_sin_cache is None:
        raise invalid_argument("cos_sin_cache", None, "given")
    cache = {"value": value, "key_cache": key_cache, "value_cache": value_cache, "slots": slots}
    missing = [name for name, given in cache.items() if given is None]
    if 0 < len(missing) < len(cache):
        given = next(name for name in cache if name not in missing)
        raise invalid_argument(missing[0], None, f"given, as {given} is")
    try:
        head_dim = len(q_weight)
    except TypeError as cause:
        raise invalid_argument("q_weight", q_weight, "[head_dim]") from cause
    with renaming(_NAMES):
        qk_norm_rope_(
            q,
            k,
            value,
            q_weight=q_weight,
            k_weight=k_weight,
            k_cache=key_cache,
            v_cache=value_cache,
            slots=slots,
            positions=positions,
            pair_axes=axes_as_bytes("axis_map", axis_map),
            cos_sin=cos_sin_cache,
            eps=eps,
            rope="neox",
            head_dim=head_dim,
            dtype=dtype,
            library=library,
        )
