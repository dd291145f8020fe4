"""SGLang's and TensorRT-LLM's name and arguments for the op: q, k and v packed in one tensor, worked on in place.

In: what the caller passes. Out: the same matched to the table of inputs: q and k are parts of qkv. v is not touched.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ._dispatch import run
from ._form import Form
from ._library import LibraryPath
from ._match import Matched, match, require_half
from ._memory import Layout, Memory
from ._op_rules import SHIPPED
from ._point import point_of, rope_of
from ._rope import RopeTable
from ._shapes import Require, Sizes
from .errors import invalid_argument, require_count, require_number, require_positive, unfit_argument

#: The caller's own names for arguments in errors.
_NAMES = {
    **{"q": "qkv", "k": "qkv", "positions": "position_ids", "rope_table": "the RoPE table"},
    **{f"the stride of {side} over num_tokens": "the stride between rows of qkv" for side in "qk"},
    **{f"scaling.{name}": name for name in ("factor", "low", "high", "attention_factor")},
}

#: A model has one table, or one for each kind of layer.
_TABLES_KEPT = 16


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
    library: LibraryPath = None,
) -> None:
    """RMSNorm of every q and k head of a packed qkv, then RoPE, in place; v is not touched.

    The arguments are those of `sgl_kernel.fused_qk_norm_rope` and of SGLang's JIT wrapper. Tensors are worked on where
    they lie, on the current stream of their device; plain buffers on the CPU.

    Args:
        qkv: `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`, bf16 or f16. Rows may be apart; a
            head is contiguous. A plain buffer may be flat.
        eps: Added to the mean of squares; not negative.
        q_weight: `[head_dim]`, of qkv's dtype or float32, contiguous; so is `k_weight`.
        base: `rope_theta`.
        is_neox: Pairs (i, i + rotary_dim/2); otherwise (2i, 2i + 1).
        position_ids: `[num_tokens]`, int32 or int64, contiguous; any value, angles are reduced exactly.
        factor: YaRN's factor; 1 is no scaling, and `low` and `high` mean nothing then.
        low: Index of the last frequency that stays, where `factor` is not 1.
        high: Index of the first frequency that is divided by `factor`.
        attention_factor: Multiplies cosine and sine; 1 without scaling.
        rotary_dim: Leading elements of a head that rotate; default `head_dim`.
        dtype: "bf16" or "f16", for plain buffers of bit patterns, whose type does not tell.
        library: A library file, or a folder that holds one for each target; default: `NORMROPE_LIBRARY`, else
            `./build`. What it lacks comes from a wheel's own library or the cache, or is compiled.

    Raises:
        NormropeError: `invalid-argument`, `kernel-not-found`, `compile-failed`, `library-not-found`, `library-invalid`,
            `cpu-unsupported`, `torch-unsupported`, `no-device`, `out-of-memory`, `device-error`; nothing was
            launched or written.
    """
    run(
        FORM,
        (qkv, q_weight, k_weight, position_ids),
        (
            *(num_heads_q, num_heads_k, num_heads_v, head_dim, eps, base, is_neox),
            *(factor, low, high, attention_factor, rotary_dim, library),
        ),
        dtype,
    )


def _match(memories: Mapping[str, Memory], said: dict[str, Any], require: Require) -> Matched:
    counts = [require_count(name, said[name]) for name in ("num_heads_q", "num_heads_k", "num_heads_v")]
    missing = next((name for name in FORM.tensors if name not in memories), None)
    if missing is not None:
        raise invalid_argument(missing, None, "given")
    qkv, positions = memories["qkv"], memories["position_ids"]
    if len(positions.shape) != 1:
        raise unfit_argument(
            "position_ids", positions.described, "[num_tokens]: mRoPE, with several rows, is not this op"
        )
    require_half("qkv", qkv)
    point = point_of(said["head_dim"], said["rotary_dim"], said["is_neox"], qkv.dtype)
    if point.impossible is not None:  # the error comes with the search for the kernel
        return Matched(point, Sizes((), 0, {}, 0), {}, {}, None, False, said["library"])
    head_dim = point.values["headDim"]
    rows = _rows(qkv, positions.shape[0], counts, head_dim, require)
    num_q, num_k, _ = counts
    inputs = {
        "q": rows.columns(0, num_q * head_dim),
        "k": rows.columns(num_q * head_dim, num_k * head_dim),
        **{name: memories[name] for name in ("q_weight", "k_weight")},
        "positions": positions,
    }
    require_positive("attention_factor", said["attention_factor"])
    base = require_positive("base", said["base"])
    factor, low, high = (require_number(name, said[name]) for name in ("factor", "low", "high"))
    return match(
        SHIPPED,
        inputs,
        Layout(head_dim=head_dim),
        {"rope": rope_of(said["is_neox"])},
        {"eps": said["eps"], "attention_factor": said["attention_factor"]},
        ramp_table(base, point.values["rotaryDim"], factor, low, high),
        require=require,
        library=said["library"],
    )


def _rows(qkv: Memory, tokens: int, counts: list[int], head_dim: int, require: Require) -> Memory:
    """`[num_tokens, row]`. The C library knows nothing of v, which is part of a row."""
    row = sum(counts) * head_dim
    shape = f"{tokens} tokens of {' + '.join(map(str, counts))} heads of {head_dim}"
    if qkv.kind == "buffer" and len(qkv.shape) == 1:
        if qkv.shape[0] != tokens * row:
            raise unfit_argument("qkv", qkv.described, f"{tokens * row} long: {shape}")
        return replace(qkv, shape=(tokens, row), strides=(row * qkv.strides[0], qkv.strides[0]))
    if len(qkv.shape) != 2:
        raise unfit_argument("qkv", qkv.described, "of rank 2, [num_tokens, heads * head_dim]")
    for size, wanted in zip(qkv.shape, (tokens, row), strict=True):
        require(size == wanted, lambda: unfit_argument("qkv", qkv.described, f"[{tokens}, {row}]: {shape}"))
    return qkv


@functools.lru_cache(_TABLES_KEPT)
def ramp_table(base: float, rotary_dim: int, factor: float, low: float, high: float) -> RopeTable:
    """`low` and `high` mean nothing if `factor` is 1."""
    if factor == 1:
        return RopeTable(base=base, rotary_dim=rotary_dim)
    ramp = {"factor": factor, "low": low, "high": high, "attention_factor": 1.0}
    return RopeTable(base=base, rotary_dim=rotary_dim, scaling={"rope_type": "yarn-ramp", **ramp})


FORM = Form(
    "fused_qk_norm_rope",
    ("qkv", "q_weight", "k_weight", "position_ids"),
    (
        *("num_heads_q", "num_heads_k", "num_heads_v", "head_dim", "eps", "base", "is_neox"),
        *("factor", "low", "high", "attention_factor", "rotary_dim", "library"),
    ),
    _match,
    renames=_NAMES,
)
