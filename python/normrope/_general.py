"""An op on heads, wherever they lie: what the functions of `_op` do, and the calls of `_own_op`.

In: tensors, or buffers, in the order of the table of inputs, and all else that a call says. Out: one call, in place or
out of place. The names of what it takes come from the tables; `_op` spells them for people and editors.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from ._dispatch import first_of, run, torch_op_for
from ._inputs import NUMBERS, TENSORS
from ._match import Form, Matched, Require, match
from ._memory import Layout, Memory
from ._op_rules import SHIPPED, OpRules
from ._rope import RopeTable
from .errors import invalid_argument, unfit_argument

#: Tables of frequencies that an op was given as numbers.
_TABLES_KEPT = 64


@functools.lru_cache(_TABLES_KEPT)
def table_of(inv_freq: tuple[float, ...]) -> RopeTable:
    """The table of frequencies that a registered op was given."""
    return RopeTable.from_inv_freq(inv_freq)


#: What a call says besides its tensors and its op's axes, which come before these. `table` is the `RopeTable`, where it
#: is one. Calls pass a plain tuple, which is faster to make.
OPTIONS = (*NUMBERS, "head_dim", "heads_dim", "pdl", "library", "table")


def split(options: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What says op and axes; and the options by their names."""
    count = len(OPTIONS)
    return options[:-count], dict(zip(OPTIONS, options[-count:], strict=True))


def names_for(sides: Sequence[str]) -> tuple[str, ...]:
    """The tensors of a call on these sides."""
    return tuple(tensor.name for tensor in TENSORS if tensor.side in ("", *sides))


def outputs_of(sides: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """What a form says of results."""
    own = [tensor for tensor in TENSORS if tensor.side in ("", *sides)]
    names = [tensor.name for tensor in own]
    return tuple((i, names.index(tensor.side)) for i, tensor in enumerate(own) if tensor.is_written)


def match_general(
    op: OpRules, axes: Mapping[str, Any], said: dict[str, Any], memories: Mapping[str, Memory], require: Require
) -> Matched:
    """`axes` are by the names of arguments."""
    if said["table"] is not None and "rope_table" in memories:
        raise unfit_argument("inv_freq", "given", "left out, as rope_table is given")
    return match(
        op,
        memories,
        Layout(said["heads_dim"], said["head_dim"]),
        {op.arguments[name]["name"]: value for name, value in axes.items() if value is not None},
        {name: said[name] for name in NUMBERS},
        said["table"],
        require=require,
        pdl=said["pdl"],
        library=said["library"],
    )


def name_general(names: Sequence[str], tensors: tuple[Any, ...], said: dict[str, Any]) -> dict[str, Any]:
    """All but op and axes, by the names that registered ops have for it."""
    named = dict(said)
    table, library = named.pop("table"), named["library"]
    named["library"] = None if library is None else str(library)
    if table is not None:
        named["inv_freq"] = list(table.inv_freq)
        if named["attention_factor"] is None:
            named["attention_factor"] = table.attention_factor
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is not None:
            named[name] = tensor
    return named


def _match(memories: Mapping[str, Memory], options: tuple[Any, ...], require: Require) -> Matched:
    axes, said = split(options)
    if "q" not in memories:
        raise invalid_argument("q", None, "given")
    return match_general(SHIPPED, dict(zip(SHIPPED.arguments, axes, strict=True)), said, memories, require)


def _by_name(tensors: tuple[Any, ...], options: tuple[Any, ...]) -> dict[str, Any]:
    axes, said = split(options)
    return {**name_general(FORM.names, tensors, said), **dict(zip(SHIPPED.arguments, axes, strict=True))}


FORM = Form(SHIPPED.name, names_for(SHIPPED.sides), _match, _by_name, outputs_of(SHIPPED.sides))


def apply(form: Form, tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """Out of place: into what was given, else into new tensors. Gives the results, None of a side that there is not.

    `table` is a `RopeTable`, or memory.
    """
    is_made = isinstance(table, RopeTable)
    tensors, options = (*tensors, None if is_made else table), (*options, table if is_made else None)
    results = tuple([tensors[out] for out, _ in form.outputs])
    if any(result is not None for result in results):
        run(form, tensors, options, dtype)
        return results
    op = torch_op_for(first_of(tensors), dtype)
    if op is None:
        out = next((out for out, heads in form.outputs if tensors[heads] is not None), form.outputs[0][0])
        want = "given, as of buffers none can be made. Or make the call in place"
        raise invalid_argument(form.names[out], None, want)
    return op.run_into_new(form, tensors, options)  # type: ignore[no-any-return]


def apply_in_place(form: Form, tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> None:
    """`tensors` have None for outputs; `table` is as above."""
    if isinstance(table, RopeTable):
        run(form, tensors + (None,), options + (table,), dtype)
    else:
        run(form, (*tensors, table), (*options, None), dtype)
