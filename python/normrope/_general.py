"""Calls on heads, wherever they lie: of the op that ships, and of an op of the caller's own.

In: tensors or buffers in the order of the table of inputs, and options. Out: one call, in place or out of place. The
names of arguments come from the tables; `_qk_norm_rope` spells them for people and editors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._buffers import run_on_buffers
from ._dispatch import first_of, run, torch_op_for
from ._form import Form
from ._inputs import NUMBERS, TENSORS
from ._kernels import op_named
from ._match import Matched, match
from ._memory import Layout, Memory
from ._op_rules import SHIPPED, OpRules, listed
from ._point import as_int
from ._rope import RopeTable
from ._shapes import Require
from .errors import NormropeError, invalid_argument, unfit_argument

#: Options of both forms, behind those that say op and axes.
OPTIONS = (*NUMBERS, "head_dim", "heads_dim", "cache_only", "out_dtype", "pdl", "library", "table")


def _match_shipped(memories: Mapping[str, Memory], said: dict[str, Any], require: Require) -> Matched:
    if "q" not in memories:
        raise invalid_argument("q", None, "given")
    return _match(SHIPPED, {name: said[name] for name in SHIPPED.arguments}, memories, said, require)


def _match_own(memories: Mapping[str, Memory], said: dict[str, Any], require: Require) -> Matched:
    is_cuda = any(memory.device.startswith("cuda") for memory in memories.values())
    op = op_named(said["name"], "cuda" if is_cuda else "cpu", said["library"])
    axes = dict(said["axes"])
    for argument in axes:
        if argument not in op.arguments:
            raise NormropeError("invalid-argument", f"{argument} is no argument of {op.name}", _arguments_of(op))
    return _match(op, axes, memories, said, require)


def _arguments_of(op: OpRules) -> str:
    tensors = [tensor.name for tensor in TENSORS if tensor.path in op.inputs]
    numbers = [name for name in NUMBERS if name in op.inputs]
    layout = ["head_dim", "heads_dim", "dtype"]
    layout += ["cache_only"] if any(name.endswith("_cache") for name in tensors) else []
    layout += ["out_dtype"] if any(name.endswith("_out_scale") for name in tensors) else []
    return f"Its arguments are {listed([*tensors, *numbers, *op.arguments, *layout, 'pdl'])}"


def _match(
    op: OpRules, axes: Mapping[str, Any], memories: Mapping[str, Memory], said: dict[str, Any], require: Require
) -> Matched:
    """`axes` are by the names of arguments."""
    if said["table"] is not None and "rope_table" in memories:
        raise unfit_argument("inv_freq", "given", "left out, as rope_table is given")
    return match(
        op,
        memories,
        Layout(as_int(said["heads_dim"]), as_int(said["head_dim"])),
        {op.arguments[name]["name"]: value for name, value in axes.items() if value is not None},
        {name: said[name] for name in NUMBERS},
        said["table"],
        require=require,
        pdl=said["pdl"],
        library=said["library"],
        cache_only=said["cache_only"],
        out_dtype=said["out_dtype"],
    )


def _form(name: str, names: tuple[str, ...], said: tuple[str, ...], match_: Callable[..., Matched]) -> Form:
    of_side = {tensor.name: tensor.side for tensor in TENSORS if tensor.is_output}
    outputs = tuple((i, names.index(of_side[own])) for i, own in enumerate(names) if own in of_side)
    caches = tuple(names.index(tensor.name) for tensor in TENSORS if tensor.is_cache and tensor.name in names)
    return Form(name, names, (*said, *OPTIONS), match_, outputs, caches)


def shipped_form(names: tuple[str, ...]) -> Form:
    """The form of the op that ships. `names` are those of its tensors, in the order of the table."""
    return _form(SHIPPED.name, names, tuple(SHIPPED.arguments), _match_shipped)


OWN_FORM = _form("op", tuple(tensor.name for tensor in TENSORS), ("name", "axes"), _match_own)


def apply(form: Form, tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """Out of place: into what is given, else into new tensors. Returns the results, None for a side that is left out.

    `tensors` and `options` lack the table, which is a `RopeTable` or memory.
    """
    is_made = isinstance(table, RopeTable)
    tensors, options = (*tensors, None if is_made else table), (*options, table if is_made else None)
    results = tuple([tensors[out] for out, _ in form.outputs])
    if any(result is not None for result in results):
        run(form, tensors, options, dtype)
        return results
    op = torch_op_for(first_of(tensors), dtype)
    if op is not None:
        return op.run_into_new(form, tensors, options)  # type: ignore[no-any-return]
    run_on_buffers(form, tensors, options, dtype, may_be_in_place=False)
    return results


def apply_in_place(form: Form, tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> None:
    """The same in place: `tensors` have None for outputs."""
    if isinstance(table, RopeTable):
        run(form, tensors + (None,), options + (table,), dtype)
    else:
        run(form, (*tensors, table), (*options, None), dtype)
