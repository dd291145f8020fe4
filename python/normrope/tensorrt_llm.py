"""TensorRT-LLM's functions for this op, by their signatures: `torch.ops.trtllm.fused_qk_norm_rope` and its like.

In: what TensorRT-LLM passes. Out: the same work in one launch of a kernel of this package. Must not import
TensorRT-LLM.
"""

from __future__ import annotations

from typing import Any

from ._fused import ramp_table
from ._library import LibraryPath
from ._packed import PACKED, columns_of, require_tensor, section_axes
from ._qk_norm_rope import qk_norm_rope, qk_norm_rope_
from ._rope import RopeTable
from ._point import as_int, rope_of
from .errors import invalid_argument, renaming, require_count, require_number, require_positive

_NAMES = {**PACKED, "positions": "position_ids", "rope_table": "the RoPE table"}


def fused_qk_norm_rope(
    qkv: Any,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    rotary_dim: int,
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
    is_qk_norm: bool = True,
    use_gemma: bool = False,
    use_mrope: bool = False,
    mrope_section1: int = 0,
    mrope_section2: int = 0,
    *,
    dtype: Any = None,
    library: LibraryPath = None,
) -> None:
    """RMSNorm of every q and k head, then RoPE, in place; v is not touched.

    Beyond TensorRT-LLM's: f16, any head_dim, rows that are apart, 64-bit positions, and exact angles at every position.
    As in theirs, all is float32 inside, with one rounding at the end.

    Args:
        qkv: `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`, bf16 or f16.
        rotary_dim: Leading elements of a head that rotate; 0: none.
        eps: Added to the mean of squares.
        q_weight: `[head_dim]`, of qkv's dtype or float32; so is `k_weight`. Not read if `is_qk_norm` is False.
        base: `rope_theta`.
        is_neox: Pairs (i, i + rotary_dim/2); otherwise (2i, 2i + 1).
        position_ids: `[num_tokens]`, or `[3, num_tokens]` with `use_mrope`; int32 or int64.
        factor: YaRN's factor; 1 is no scaling, and `low` and `high` mean nothing then.
        low: Index of the last frequency that stays, where `factor` is not 1.
        high: Index of the first frequency that is divided by `factor`.
        attention_factor: Multiplies cosine and sine; 1 without scaling.
        is_qk_norm: Whether heads are normed.
        use_gemma: Whether the norm multiplies by one plus the weight.
        use_mrope: Whether a token has positions of time, height and width, whose pairs are interleaved.
        mrope_section1: Pairs that turn by height.
        mrope_section2: Pairs that turn by width.
        dtype: "bf16" or "f16", for arrays of bit patterns.
        library: As in `normrope.fused_qk_norm_rope`.

    Raises:
        NormropeError: As `normrope.fused_qk_norm_rope`; nothing was launched or written.
    """
    with renaming(_NAMES):
        q, k, _ = columns_of(qkv, num_heads_q, num_heads_k, num_heads_v, head_dim)
        norm = _norm(is_qk_norm, use_gemma, eps, q_weight, k_weight)
        table = _table(base, rotary_dim, factor, low, high)
        sections = (mrope_section1, mrope_section2) if use_mrope else None
        rotation = _rotation(table, is_neox, position_ids, attention_factor, sections, getattr(qkv, "device", None))
        qk_norm_rope_(qkv[:, q], qkv[:, k], head_dim=head_dim, dtype=dtype, library=library, **norm, **rotation)


def fused_qk_norm_rope_to_fp8(
    qkv: Any,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    rotary_dim: int,
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
    is_qk_norm: bool = True,
    use_gemma: bool = False,
    use_mrope: bool = False,
    mrope_section1: int = 0,
    mrope_section2: int = 0,
    *,
    library: LibraryPath = None,
) -> Any:
    """The same into a new tensor of FP8 (e4m3, scale 1, saturating); v is converted, too. qkv stays as it is.

    Each element is rounded once, from float32. The arguments are those of `fused_qk_norm_rope`; tensors only.

    Returns:
        `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`, float8_e4m3fn.
    """
    import torch

    require_tensor("qkv", qkv)
    with renaming(_NAMES):
        columns = columns_of(qkv, num_heads_q, num_heads_k, num_heads_v, head_dim)
        result = qkv.new_empty(qkv.shape, dtype=torch.float8_e4m3fn)
        q, k, v = (qkv[:, own] for own in columns)
        outputs = {f"{side}_out": result[:, own] for side, own in zip("qkv", columns, strict=True)}
        norm = _norm(is_qk_norm, use_gemma, eps, q_weight, k_weight)
        table = _table(base, rotary_dim, factor, low, high)
        sections = (mrope_section1, mrope_section2) if use_mrope else None
        rotation = _rotation(table, is_neox, position_ids, attention_factor, sections, qkv.device)
        qk_norm_rope(q, k, v, value="copy", head_dim=head_dim, library=library, **outputs, **norm, **rotation)
    return result


def _norm(is_qk_norm: bool, use_gemma: bool, eps: float, q_weight: Any, k_weight: Any) -> dict[str, Any]:
    if not is_qk_norm:
        return {"norm": "none"}
    weights = {"q_weight": q_weight, "k_weight": k_weight}
    return {**weights, "eps": eps, "weight": "one_plus" if use_gemma else "plain"}


def _table(base: float, rotary_dim: int, factor: float, low: float, high: float) -> RopeTable | None:
    if rotary_dim == 0:
        return None
    numbers = {"factor": factor, "low": low, "high": high}
    ramp = [require_number(name, value) for name, value in numbers.items()]
    return ramp_table(require_positive("base", base), as_int(rotary_dim), *ramp)


def _rotation(
    table: RopeTable | None,
    is_neox: bool,
    positions: Any,
    attention_factor: float,
    sections: tuple[Any, Any] | None,
    device: Any,
) -> dict[str, Any]:
    rope = rope_of(is_neox)
    if table is None:
        return {}
    if positions is None:
        raise invalid_argument("position_ids", None, "given")
    rotation = {"rope_table": table, "rope": rope, "positions": positions, "attention_factor": attention_factor}
    if sections is None:
        return rotation
    names = ("mrope_section1", "mrope_section2")
    height, width = [require_count(name, as_int(count)) for name, count in zip(names, sections, strict=True)]
    pairs = table.rotary_dim // 2
    axes = section_axes("mrope_section1", (pairs - height - width, height, width), table.rotary_dim, device)
    return {**rotation, "pair_axes": axes}
