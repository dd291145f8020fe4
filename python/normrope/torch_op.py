"""The op on torch tensors, and as `torch.ops.normrope.qk_norm_rope` and its like.

In: tensors of one device, and options. Out: one launch on the current stream of that device. Importing this module
registers the ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _fused, _general
from ._inputs import NUMBERS, TENSORS
from ._match import Form, Matched, raise_unless
from ._op import arguments
from ._point import FREE_AXES
from ._torch_launch import is_compiling, is_watched, launch
from ._torch_names import check
from ._torch_plan import match_fake, require_no_grad, target_of
from .errors import renaming
from .support import answer

__all__ = ["Tensor", "is_compiling", "launch", "run", "run_into_new", "target_of", "why_not_as_constant"]


def run(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> None:
    """A call that writes into what it was given. The docstrings of `_op` and `_fused` have arguments and errors."""
    if not is_watched(tensors):
        return launch(form, tensors, options)
    _check_watched(form, tensors, options)
    if form is _fused.FORM:
        torch.ops.normrope.fused_qk_norm_rope(**_fused.by_name(tensors, options))
    elif all(tensors[out] is None for out, _, _ in _general.OUTPUTS):
        torch.ops.normrope.qk_norm_rope_(**_by_name(tensors, options, with_outputs=False))
    else:
        torch.ops.normrope.qk_norm_rope_out(**_by_name(tensors, options, with_outputs=True))
    return None


def run_into_new(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
    """The general call, into tensors that it makes."""
    if not is_watched(tensors):
        filled = _with_outputs(tensors, options)
        launch(form, filled, options)
        return tuple(filled[out] for out, _, _ in _general.OUTPUTS)
    _check_watched(form, tensors, options)
    results = torch.ops.normrope.qk_norm_rope(**_by_name(tensors, options, with_outputs=False))
    sides = [side for _, side, _ in _general.OUTPUTS]
    return tuple(None if tensors[side] is None else result for side, result in zip(sides, results, strict=True))


def _check_watched(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """What torch's dispatcher would say in other words, or not at all. A trace comes to the fake implementation."""
    if not is_compiling():
        with renaming(form.renames):
            match_fake(form, tensors, options, raise_unless)


def _with_outputs(tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
    heads_dim = options[_HEADS_DIM]
    filled = list(tensors)
    for out, side, _ in _general.OUTPUTS:
        if isinstance(tensors[side], Tensor):  # of others the plan says what they are
            filled[out] = _empty_like(tensors[side], heads_dim)
    return tuple(filled)


def _empty_like(heads: Tensor, heads_dim: Any) -> Tensor:
    """Of the same shape, with all heads of a token side by side."""
    is_tokens_first = heads.dim() < 3 or heads_dim == -2 or heads_dim not in (-3, heads.dim() - 3)
    if is_tokens_first:
        return heads.new_empty(heads.shape)
    moved = heads.transpose(-3, -2)
    return moved.new_empty(moved.shape).transpose(-3, -2)


def _why_not(*question: Any) -> str | None:
    return answer(*question)


#: For a function that is being compiled: a kernel is found now, and no lock is looked into.
why_not_as_constant: Callable[..., str | None] = torch.compiler.assume_constant_result(_why_not)


# The registered ops. Their arguments are those of the table of inputs: q first, k second, and all others by their
# names.

_HEADS_DIM = _general.OPTIONS.index("heads_dim")


def _by_name(tensors: Sequence[Any], options: tuple[Any, ...], with_outputs: bool) -> dict[str, Any]:
    named = dict(zip(_general.OPTIONS, options, strict=True))
    for tensor, value in zip(TENSORS, tensors, strict=True):
        if with_outputs or not tensor.is_written:
            named[tensor.name] = value
    table, library = named.pop("table"), named["library"]
    if named["attention_factor"] is None:
        named["attention_factor"] = 1.0 if table is None else table.attention_factor
    named["library"] = None if library is None else str(library)
    named["inv_freq"] = None if table is None else list(table.inv_freq)
    return named


def _schema(name: str, written: str, result: str) -> str:
    """`written` is the field of a side that is written to, `in` or `out`; empty for none."""
    kinds = {"head_dim": "int? head_dim=None", "heads_dim": "int heads_dim=-2", "pdl": "bool pdl=False"}
    kinds |= {"library": "str? library=None"} | {number: f"float {number}=1.0" for number in NUMBERS}
    kinds |= {"eps": "float eps"} | {
        axis: f"str {axis}" if is_required else f"str? {axis}=None" for _, axis, is_required in FREE_AXES
    }

    def tensor(field: str, of: str, i: int) -> str:
        mark = f"({'abcdefgh'[i]}!)" if field == written else ""
        return f"Tensor{mark} {of}" if of in ("q", "q_out") else f"Tensor{mark}? {of}=None"

    own = [t for t in TENSORS if not t.is_written or written == "out"]
    first = [tensor(t.field, t.name, i) for i, t in enumerate(own) if t.name in ("q", "k")]
    others = [tensor(t.field, t.name, i) for i, t in enumerate(own) if t.name not in ("q", "k")]
    options = [kinds[option] for option in _general.OPTIONS if option != "table"]
    return f"{name}({', '.join([*first, '*', *others, 'float[]? inv_freq=None', *options])}) -> {result}"


def _into(*given: Any, **named: Any) -> None:
    """`qk_norm_rope_` and `qk_norm_rope_out`."""
    launch(_general.FORM, *arguments(*given, **named))


def _new(*given: Any, **named: Any) -> tuple[Tensor, ...]:
    """`qk_norm_rope`: of a side that there is not, an empty tensor."""
    tensors, options = arguments(*given, **named)
    filled = _with_outputs(tensors, options)
    launch(_general.FORM, filled, options)
    return _results(filled)


def _results(filled: tuple[Any, ...]) -> tuple[Tensor, ...]:
    results = (filled[out] for out, _, _ in _general.OUTPUTS)
    return tuple(filled[0].new_empty(0) if result is None else result for result in results)


def _fake(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> Matched:
    """What can be told of tensors without data, so that a trace fails where the call would."""
    with renaming(form.renames):
        require_no_grad(form.names, tensors)
        return match_fake(form, tensors, options, lambda condition, error: check(condition, lambda: str(error())))


def _fake_into(*given: Any, **named: Any) -> None:
    _fake(_general.FORM, *arguments(*given, **named))


def _fake_new(*given: Any, **named: Any) -> tuple[Tensor, ...]:
    tensors, options = arguments(*given, **named)
    _fake(_general.FORM, tensors, options)
    return _results(_with_outputs(tensors, options))


_FUSED_SCHEMA = (
    "fused_qk_norm_rope(Tensor(a!) qkv, int num_heads_q, int num_heads_k, int num_heads_v, int head_dim, float eps, "
    "Tensor q_weight, Tensor k_weight, float base, bool is_neox, Tensor position_ids, float factor, float low, "
    "float high, float attention_factor, int? rotary_dim=None, *, str? library=None) -> ()"
)


def _fused_arguments(
    qkv: Tensor,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    eps: float,
    q_weight: Tensor,
    k_weight: Tensor,
    base: float,
    is_neox: bool,
    position_ids: Tensor,
    factor: float,
    low: float,
    high: float,
    attention_factor: float,
    rotary_dim: int | None = None,
    *,
    library: str | None = None,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Tensors and options, as `arguments` gives them of the other ops."""
    heads = (num_heads_q, num_heads_k, num_heads_v, head_dim, eps)
    ramp = (factor, low, high, attention_factor, rotary_dim)
    return (qkv, q_weight, k_weight, position_ids), (*heads, base, is_neox, *ramp, library)


def _fused_op(*given: Any, **named: Any) -> None:
    launch(_fused.FORM, *_fused_arguments(*given, **named))


def _fused_fake(*given: Any, **named: Any) -> None:
    _fake(_fused.FORM, *_fused_arguments(*given, **named))


_registration = torch.library.Library("normrope", "FRAGMENT")
_results_of_sides = f"({', '.join('Tensor' for _ in _general.OUTPUTS)})"
for _definition, _implementation, _fake_of in (
    (_FUSED_SCHEMA, _fused_op, _fused_fake),
    (_schema("qk_norm_rope", "", _results_of_sides), _new, _fake_new),
    (_schema("qk_norm_rope_", "in", "()"), _into, _fake_into),
    (_schema("qk_norm_rope_out", "out", "()"), _into, _fake_into),
):
    _registration.define(_definition)
    _name = _definition.partition("(")[0]
    for _device in ("CPU", "CUDA"):
        _registration.impl(_name, _implementation, _device)
    torch.library.register_fake(f"normrope::{_name}", _fake_of, lib=_registration)
