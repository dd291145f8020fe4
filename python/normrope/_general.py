"""The op on q and k, wherever they lie: what the functions of `_op` do.

In: tensors, or buffers, in the order of the table of inputs, and all else that a call says. Out: one call, in place or
out of place. The names of what it takes come from the tables; `_op` spells them for people and editors.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from ._dispatch import run, torch_op_for
from ._inputs import NUMBERS, TENSORS
from ._match import Form, Matched, Require, match
from ._memory import Layout, Memory
from ._point import FREE_AXES
from ._rope import RopeTable
from .errors import invalid_argument, unfit_argument

#: Where outputs are among the tensors, with the side's input.
OUTPUTS = tuple(
    (i, next(j for j, heads in enumerate(TENSORS) if heads.name == tensor.side), tensor.name)
    for i, tensor in enumerate(TENSORS)
    if tensor.is_written
)


#: Tables of frequencies that an op was given as numbers.
_TABLES_KEPT = 64


@functools.lru_cache(_TABLES_KEPT)
def table_of(inv_freq: tuple[float, ...]) -> RopeTable:
    """The table of frequencies that a registered op was given."""
    return RopeTable.from_inv_freq(inv_freq)


def _match(memories: Mapping[str, Memory], options: tuple[Any, ...], require: Require) -> Matched:
    numbers, rest = options[: len(NUMBERS)], options[len(NUMBERS) :]
    axes = {axis: value for (axis, *_), value in zip(FREE_AXES, rest, strict=False) if value is not None}
    head_dim, heads_dim, pdl, library, table = rest[len(FREE_AXES) :]
    named = dict(zip(NUMBERS, numbers, strict=True))
    if named["attention_factor"] is None:
        named["attention_factor"] = 1.0 if table is None else table.attention_factor
    if "q" not in memories:
        raise invalid_argument("q", None, "given")
    layout = Layout(heads_dim, head_dim)
    return match(memories, layout, axes, named, table, require, pdl, library)


FORM = Form(tuple(tensor.name for tensor in TENSORS), _match)


def apply(tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """Out of place: into what was given, else into new tensors. Gives the results, None of a side that there is not.

    `table` is a `RopeTable`, or memory.
    """
    given = [name for out, _, name in OUTPUTS if tensors[out] is not None]
    is_made = isinstance(table, RopeTable)
    tensors, options = (*tensors, None if is_made else table), (*options, table if is_made else None)
    if given:
        for out, side, name in OUTPUTS:
            if tensors[out] is None and tensors[side] is not None:
                raise unfit_argument(name, "None", f"given, as {given[0]} is")
        run(FORM, tensors, options, dtype)
        return tuple(tensors[out] for out, _, _ in OUTPUTS)
    op = torch_op_for(tensors[0], dtype)
    if op is None:
        want = "given, as of buffers none can be made. Or call qk_norm_rope_, which works in place"
        raise invalid_argument("q_out", None, want)
    results: tuple[Any, ...] = op.run_into_new(FORM, tensors, options)
    return results


def apply_in_place(tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> None:
    """`tensors` have None for outputs; `table` is as above."""
    if type(table) is RopeTable:
        run(FORM, tensors + (None,), options + (table,), dtype)
    else:
        run(FORM, (*tensors, table), (*options, None), dtype)
