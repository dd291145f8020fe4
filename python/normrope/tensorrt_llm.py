"""TensorRT-LLM's functions for this op, by their signatures: `torch.ops.trtllm.fused_qk_norm_rope` and its like.

In: what TensorRT-LLM passes. Out: the same work in one launch of a kernel of this package. Must not import
TensorRT-LLM.
"""

from __future__ import annotations

from typing import Any

from ._fused import ramp_table
from ._library import LibraryPath
from ._packed import PACKED, columns_of, require_tensor, section_axes
from ._point import as_int, rope_of
from ._qk_norm_rope import qk_norm_rope, qk_norm_rope_
from .errors import (
    invalid_argument,
    renaming,
    require_bool,
    require_count,
    require_number,
    require_positive,
    unfit_argument,
)

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
        yarn, mrope = (base, factor, low, high, attention_factor), (use_mrope, mrope_section1, mrope_section2)
        rotation = _rotation(rotary_dim, yarn, is_neox, position_ids, mrope, getattr(qkv, "device", None))
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
    require_tensor("qkv", qkv)
    import torch

    with renaming(_NAMES):
        columns = columns_of(qkv, num_heads_q, num_heads_k, num_heads_v, head_dim)
        norm = _norm(is_qk_norm, use_gemma, eps, q_weight, k_weight)
        yarn, mrope = (base, factor, low, high, attention_factor), (use_mrope, mrope_section1, mrope_section2)
        rotation = _rotation(rotary_dim, yarn, is_neox, position_ids, mrope, qkv.device)
        result = qkv.new_empty(qkv.shape, dtype=torch.float8_e4m3fn)
        q, k, v = (qkv[:, own] for own in columns)
        outputs = {f"{side}_out": result[:, own] for side, own in zip("qkv", columns, strict=True)}
        qk_norm_rope(q, k, v, value="copy", head_dim=head_dim, library=library, **outputs, **norm, **rotation)
    return result


def _norm(is_qk_norm: bool, use_gemma: bool, eps: float, q_weight: Any, k_weight: Any) -> dict[str, Any]:
    require_bool("is_qk_norm", is_qk_norm)
    require_bool("use_gemma", use_gemma)
    if not is_qk_norm:
        return {"norm": "none"}
    weights = {"q_weight": q_weight, "k_weight": k_weight}
    return {**weights, "eps": eps, "weight": "one_plus" if use_gemma else "plain"}


def _rotation(
    rotary_dim: int,
    yarn: tuple[float, float, float, float, float],
    is_neox: bool,
    positions: Any,
    mrope: tuple[bool, int, int],
    device: Any,
) -> dict[str, Any]:
    """`yarn` are base, factor, low, high and attention_factor; `mrope` says whether there is any, and the sections."""
    rope = rope_of(is_neox)
    use_mrope, *sections = mrope
    require_bool("use_mrope", use_mrope)
    if rotary_dim == 0:
        return {}
    if positions is None:
        raise invalid_argument("position_ids", None, "given")
    base, *ramp, attention_factor = yarn
    names = ("factor", "low", "high")
    ramp = [require_number(name, value) for name, value in zip(names, ramp, strict=True)]
    table = ramp_table(require_positive("base", base), as_int(rotary_dim), *ramp)
    require_positive("attention_factor", attention_factor)
    rotation = {"rope_table": table, "rope": rope, "positions": positions, "attention_factor": attention_factor}
    if not use_mrope:
        return rotation
    sections = [require_count(f"mrope_section{i}", as_int(count)) for i, count in enumerate(sections, 1)]
    rest = table.rotary_dim // 2 - sum(sections)
    if rest < 0:
        what = f"{sections[0]}, and mrope_section2 {sections[1]}"
        raise unfit_argument("mrope_section1", what, f"at most {rotary_dim // 2} with it: rotary_dim / 2")
    axes = section_axes("mrope_section1", (rest, *sections), table.rotary_dim, device)
    return {**rotation, "pair_axes": axes}
