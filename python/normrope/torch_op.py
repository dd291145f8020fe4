"""Ops on torch tensors, and as `torch.ops.normrope.qk_norm_rope` and its like.

In: tensors of one device, and options. Out: one launch on the current stream of that device. Importing this module
registers the ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import _fused, _general, _own_op
from ._dispatch import first_of
from ._inputs import NUMBERS, TENSORS
from ._match import Form, Matched, raise_unless
from ._op import arguments
from ._op_rules import SHIPPED, Axis
from ._torch_launch import is_compiling, is_watched, launch
from ._torch_names import check
from ._torch_plan import match_fake, require_no_grad, target_of
from .errors import invalid_argument, renaming
from .support import answer

__all__ = ["Tensor", "is_compiling", "launch", "run", "run_into_new", "target_of", "why_not_as_constant"]


def run(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> None:
    """A call that writes into what it was given. The docstrings of `_op`, `_own_op` and `_fused` have arguments and
    errors."""
    if not is_watched(tensors):
        return launch(form, tensors, options)
    _check_watched(form, tensors, options)
    if form is _fused.FORM:
        kind = ""
    else:
        kind = "_" if all(tensors[out] is None for out, _ in form.outputs) else "_out"
    getattr(torch.ops.normrope, f"{form.name}{kind}")(**form.by_name(tensors, options))
    return None


def run_into_new(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, into tensors that it makes."""
    if not is_watched(tensors):
        filled = _with_outputs(form, tensors, options)
        launch(form, filled, options)
        return tuple([filled[out] for out, _ in form.outputs])
    _check_watched(form, tensors, options)
    results = getattr(torch.ops.normrope, form.name)(**form.by_name(tensors, options))
    sides = [side for _, side in form.outputs]
    return tuple(None if tensors[side] is None else result for side, result in zip(sides, results, strict=True))


def _check_watched(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """What torch's dispatcher would say in other words, or not at all. A trace comes to the fake implementation."""
    if not is_compiling():
        with renaming(form.renames):
            match_fake(form, tensors, options, raise_unless)


def _with_outputs(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
    heads_dim = options[_HEADS_DIM]
    filled = list(tensors)
    for out, side in form.outputs:
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
#: torch 2.6 imports a module for this that makes tensors on the default device.
with torch.device("cpu"):
    why_not_as_constant: Callable[..., str | None] = torch.compiler.assume_constant_result(_why_not)


# The registered ops. Their arguments are those of the table of inputs: heads first, and all others by their names.

#: From the end, where all forms have the same.
_HEADS_DIM = _general.OPTIONS.index("heads_dim") - len(_general.OPTIONS)


def _schema(form: Form, kind: str, head: Sequence[str], required: Sequence[str], axes: Sequence[str]) -> str:
    """`kind` is that of the op: it ends in `_` where the heads are written to, in `_out` where others are."""
    written = {"": "", "_": "in", "_out": "out"}[kind]
    own = [tensor for tensor in TENSORS if tensor.name in form.names and (not tensor.is_written or kind == "_out")]
    marks = iter("abcdefghijkl")
    spelled = {tensor.name: f"Tensor({next(marks)}!)" if tensor.field == written else "Tensor" for tensor in own}
    said = {name: f"{type_} {name}" if name in required else f"{type_}? {name}=None" for name, type_ in spelled.items()}
    heads = [said.pop(tensor.name) for tensor in own if tensor.is_heads and not tensor.is_written]
    numbers = [f"float {name}" if name in required else f"float? {name}=None" for name in NUMBERS]
    options = ["int? head_dim=None", "int heads_dim=-2", "bool pdl=False", "str? library=None"]
    others = [*said.values(), "float[]? inv_freq=None", *axes, *numbers, *options]
    results = f"({', '.join('Tensor' for _ in form.outputs)})" if kind == "" else "()"
    return f"{form.name}{kind}({', '.join([*head, *heads, '*', *others])}) -> {results}"


def _results(form: Form, filled: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Of a side that there is not, an empty tensor."""
    first = first_of(filled)
    return tuple(first.new_empty(0) if filled[out] is None else filled[out] for out, _ in form.outputs)


def _fake(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> Matched:
    """What can be told of tensors without data, so that a trace fails where the call would."""
    with renaming(form.renames):
        require_no_grad(form.names, tensors)
        return match_fake(form, tensors, options, lambda condition, error: check(condition, lambda: str(error())))


def _require_outputs(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """A side without an output would be worked on in place, and the schema says that heads are not written to."""
    for out, side in form.outputs:
        if tensors[side] is not None and tensors[out] is None:
            match_fake(form, tensors, options, raise_unless)  # a side may be one that is to be left out
            raise invalid_argument(form.names[out], None, f"given, as {form.names[side]} is")


def _register(definition: str, implementation: Callable[..., Any], fake: Callable[..., Any]) -> None:
    _registration.define(definition)
    name = definition.partition("(")[0]
    for device in ("CPU", "CUDA"):
        _registration.impl(name, implementation, device)
    torch.library.register_fake(f"normrope::{name}", fake, lib=_registration)


def _register_general(
    form: Form,
    arguments_of: Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]],
    head: Sequence[str] = (),
    required: Sequence[str] = (),
    axes: Sequence[str] = (),
) -> None:
    """The three ops of a form: in place, into what is given, and into new tensors. `arguments_of` makes tensors and
    options of what torch calls them with."""

    def into(*given: Any, **named: Any) -> None:
        launch(form, *arguments_of(*given, **named))

    def fake_into(*given: Any, **named: Any) -> None:
        _fake(form, *arguments_of(*given, **named))

    def out(*given: Any, **named: Any) -> None:
        tensors, options = arguments_of(*given, **named)
        _require_outputs(form, tensors, options)
        launch(form, tensors, options)

    def fake_out(*given: Any, **named: Any) -> None:
        tensors, options = arguments_of(*given, **named)
        _fake(form, tensors, options)
        _require_outputs(form, tensors, options)

    def new(*given: Any, **named: Any) -> tuple[Tensor, ...]:
        tensors, options = arguments_of(*given, **named)
        filled = _with_outputs(form, tensors, options)
        launch(form, filled, options)
        return _results(form, filled)

    def fake_new(*given: Any, **named: Any) -> tuple[Tensor, ...]:
        tensors, options = arguments_of(*given, **named)
        _fake(form, tensors, options)
        return _results(form, _with_outputs(form, tensors, options))

    for kind, implementation, fake in (("", new, fake_new), ("_", into, fake_into), ("_out", out, fake_out)):
        _register(_schema(form, kind, head, required, axes), implementation, fake)


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


def _axis(name: str, axis: Axis) -> str:
    kind = "str" if axis["kind"] == "enum" else "int"
    return f"{kind}? {name}=None" if "default" in axis else f"{kind} {name}"


_registration = torch.library.Library("normrope", "FRAGMENT")
_register(_FUSED_SCHEMA, _fused_op, _fused_fake)
_register_general(
    _general.FORM,
    arguments,
    required=("q", "eps"),
    axes=[_axis(name, axis) for name, axis in SHIPPED.arguments.items()],
)
_register_general(_own_op.FORM, _own_op.arguments, head=("str name", "str[] axes"))
