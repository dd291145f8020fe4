"""Ops on torch tensors, and as `torch.ops.normrope.qk_norm_rope` and its like.

In: tensors of one device, and options. Out: one launch on the current stream of that device. Importing this module
registers the ops.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

from . import _fused, _general, _packed, _qk_norm_rope
from ._dispatch import first_of
from ._form import Form
from ._inputs import NUMBERS, SIDES, TENSORS
from ._match import Matched, raise_unless
from ._op_rules import SHIPPED, Axis
from ._rope import RopeTable
from ._torch_launch import is_compiling, is_watched, launch
from ._torch_names import check
from ._torch_outputs import Outputs, outputs_by, outputs_of
from ._torch_plan import match_fake, require_no_grad, target_of
from .errors import invalid_argument, renaming
from .support import answer

__all__ = ["Tensor", "run", "run_into_new", "target_of"]


def run(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> None:
    """A call that writes into what it is given."""
    if not is_watched(tensors):
        return launch(form, tensors, options)
    _check_watched(form, tensors, options)
    if not form.outputs:
        kind = ""
    else:
        kind = "_" if all(tensors[out] is None for out, _ in form.outputs) else "_out"
    getattr(torch.ops.normrope, f"{form.name}{kind}")(**form.by_name(tensors, options))
    return None


def run_into_new(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, into tensors that it makes."""
    if not is_watched(tensors):
        filled = _with_outputs(form, tensors, options, outputs_of(form, tensors, options))
        launch(form, filled, options)
        return tuple([filled[out] for out, _ in form.outputs])
    _check_watched(form, tensors, options)
    results = getattr(torch.ops.normrope, form.name)(**form.by_name(tensors, options))
    return tuple([None if result.dim() == 1 else result for result in results])


def _check_watched(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """Raises what torch's dispatcher would say in other words, or not at all. A trace is checked by `_fake`."""
    if not is_compiling():
        with renaming(form.renames):
            match_fake(form, tensors, options, raise_unless)


def _with_outputs(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...], outputs: Outputs) -> tuple[Any, ...]:
    """The tensors, with new ones for the outputs."""
    heads_dim = options[_HEADS_DIM]
    filled = list(tensors)
    for out, side, dtype in outputs:
        if isinstance(tensors[side], Tensor):  # the plan refuses others
            filled[out] = _empty_like(tensors[side], heads_dim, dtype)
    return tuple(filled)


def _empty_like(heads: Tensor, heads_dim: Any, dtype: Any) -> Tensor:
    """A tensor of the same shape, in which all heads of a token lie side by side."""
    if heads_dim == -2 or heads.dim() < 3 or heads_dim not in (-3, heads.dim() - 3):
        return heads.new_empty(heads.shape, dtype=dtype)
    moved = heads.transpose(-3, -2)
    return moved.new_empty(moved.shape, dtype=dtype).transpose(-3, -2)


with torch.device("cpu"):  # torch 2.6 imports a module for this that makes tensors on the default device
    torch.compiler.assume_constant_result(answer)
    torch.compiler.assume_constant_result(_packed.section_axes)


# The registered ops. Their arguments are those of the table of inputs: heads first, then all others by name.

#: Tables of frequencies that ops were given as numbers.
_TABLES_KEPT = 64

#: From the end, where all forms have the same options.
_HEADS_DIM = _general.OPTIONS.index("heads_dim") - len(_general.OPTIONS)


def _schema(form: Form, kind: str, head: Sequence[str], required: Sequence[str], axes: Sequence[str]) -> str:
    """`kind` is how the op's name ends: `_` if the heads are written to, `_out` if outputs are. Caches always are."""
    own = [tensor for tensor in TENSORS if tensor.name in form.tensors and (kind == "_out" or not tensor.is_output)]
    own = [tensor for tensor in own if kind != "_" or not tensor.is_of_output]
    written = {tensor.name for tensor in own if tensor.is_written or (kind == "_" and tensor.field == "in")}
    marks = iter("abcdefghijkl")
    spelled = {tensor.name: f"Tensor({next(marks)}!)" if tensor.name in written else "Tensor" for tensor in own}
    said = {name: f"{type_} {name}" if name in required else f"{type_}? {name}=None" for name, type_ in spelled.items()}
    heads = [said.pop(tensor.name) for tensor in own if tensor.field == "in"]
    numbers = [f"float {name}" if name in required else f"float? {name}=None" for name in NUMBERS]
    options = ["int? head_dim=None", "int heads_dim=-2", "bool cache_only=False"]
    options += [] if kind == "_" else ["str? out_dtype=None"]
    options += ["bool pdl=False", "str? library=None"]
    others = [*said.values(), "float[]? inv_freq=None", *axes, *numbers, *options]
    results = f"({', '.join('Tensor' for _ in form.outputs)})" if kind == "" else "()"
    return f"{form.name}{kind}({', '.join([*head, *heads, '*', *others])}) -> {results}"


def _fake(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> Matched:
    """Checks tensors without data, so that a trace fails where the call would."""
    with renaming(form.renames):
        require_no_grad(form.tensors, tensors)
        return match_fake(form, tensors, options, lambda condition, error: check(condition, lambda: str(error())))


def _fake_nothing(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """Of an op without results."""
    _fake(form, tensors, options)


def _launch_out(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    _require_outputs(form, tensors, options)
    launch(form, tensors, options)


def _fake_out(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    _fake(form, tensors, options)
    _require_outputs(form, tensors, options)


def _require_outputs(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """A side without an output would be worked on in place, which the schema denies."""
    if all(tensors[side] is None or tensors[out] is not None for out, side in form.outputs):
        return
    for side in match_fake(form, tensors, options, raise_unless).open_sides:
        raise invalid_argument(f"{side}_out", None, f"given, as {side} is")


def _launch_new(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Tensor, ...]:
    filled = _with_outputs(form, tensors, options, outputs_of(form, tensors, options))
    launch(form, filled, options)
    return _results(form, filled)


def _fake_new(form: Form, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[Tensor, ...]:
    outputs = outputs_by(form, _fake(form, tensors, options))
    return _results(form, _with_outputs(form, tensors, options, outputs))


def _results(form: Form, filled: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """The results, and an empty tensor of one dimension for a side that has none."""
    first = first_of(filled)
    return tuple([first.new_empty(0) if filled[out] is None else filled[out] for out, _ in form.outputs])


#: Turns what torch calls an op with, which lacks arguments at their default, into tensors and options.
Take = Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], tuple[Any, ...]]]


def _register(
    form: Form, schema: str, take: Take, implementation: Callable[..., Any], fake: Callable[..., Any]
) -> None:
    def run_real(*given: Any, **named: Any) -> Any:
        return implementation(form, *take(given, named))

    def run_fake(*given: Any, **named: Any) -> Any:
        return fake(form, *take(given, named))

    _registration.define(schema)
    name = schema.partition("(")[0]
    for device in ("CPU", "CUDA"):
        _registration.impl(name, run_real, device)
    torch.library.register_fake(f"normrope::{name}", run_fake, lib=_registration)


def _register_general(form: Form, head: Mapping[str, str], required: Sequence[str], axes: Sequence[str]) -> None:
    """The three ops of a form: into new tensors, in place, and into what is given."""
    positional = (*head, *(side for side in SIDES if side in form.tensors))
    left_out: dict[str, Any] = dict.fromkeys((*form.tensors, *form.options, "inv_freq"))
    left_out.update(heads_dim=-2, cache_only=False, pdl=False)
    tensors_of, options_of = itemgetter(*form.tensors), itemgetter(*form.options)

    def take(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        said = left_out | named
        for name, value in zip(positional, given, strict=False):
            said[name] = value
        if said["inv_freq"] is not None:
            said["table"] = _table_of(tuple(said["inv_freq"]))
        if "axes" in said:
            said["axes"] = tuple([_axis_of(axis) for axis in said["axes"]])
        return tensors_of(said), options_of(said)

    first = [f"{kind} {name}" for name, kind in head.items()]
    for kind, implementation, fake in (
        ("", _launch_new, _fake_new),
        ("_", launch, _fake_nothing),
        ("_out", _launch_out, _fake_out),
    ):
        _register(form, _schema(form, kind, first, required, axes), take, implementation, fake)


@functools.lru_cache(_TABLES_KEPT)
def _table_of(inv_freq: tuple[float, ...]) -> RopeTable:
    return RopeTable.from_inv_freq(inv_freq)


def _axis_of(spelled: str) -> tuple[str, str | int]:
    """Name and value of `rope=neox`."""
    name, _, value = spelled.partition("=")
    return name, int(value) if value.isdigit() else value


def _axis(name: str, axis: Axis) -> str:
    kind = "str" if axis["kind"] == "enum" else "int"
    return f"{kind}? {name}=None" if "default" in axis or "when" in axis else f"{kind} {name}"


_FUSED_SCHEMA = (
    "fused_qk_norm_rope(Tensor(a!) qkv, int num_heads_q, int num_heads_k, int num_heads_v, int head_dim, float eps, "
    "Tensor q_weight, Tensor k_weight, float base, bool is_neox, Tensor position_ids, float factor, float low, "
    "float high, float attention_factor, int? rotary_dim=None, *, str? library=None) -> ()"
)


_FUSED_ARGUMENTS = list(inspect.signature(_fused.fused_qk_norm_rope).parameters)
_fused_tensors = itemgetter(*map(_FUSED_ARGUMENTS.index, _fused.FORM.tensors))
_fused_options = itemgetter(*map(_FUSED_ARGUMENTS.index, _fused.FORM.options[:-1]))


def _take_fused(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    given = (*given, None)  # torch leaves out a rotary_dim of None
    return _fused_tensors(given), (*_fused_options(given), named.get("library"))


_registration = torch.library.Library("normrope", "FRAGMENT")
_register(_fused.FORM, _FUSED_SCHEMA, _take_fused, launch, _fake_nothing)
_axes = [_axis(name, axis) for name, axis in SHIPPED.arguments.items()]
_register_general(_qk_norm_rope.FORM, head={}, required=("q",), axes=_axes)
_register_general(_general.OWN_FORM, head={"name": "str", "axes": "str[]"}, required=(), axes=())
