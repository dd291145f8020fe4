"""The op on q and k, wherever they lie: what the functions of `_op` do.

In: tensors, or buffers, in the order of the table of inputs, and all else that a call says. Out: one call, in place or
out of place. The names of what it takes come from the tables; `_op` spells them for people and editors.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Mapping
from typing import Any

from ._dispatch import run, torch_op_for
from ._inputs import NUMBERS, TENSORS
from ._match import Form, Matched, Require, match
from ._memory import Layout, Memory
from ._point import FREE_AXES
from ._rope import RopeTable
from .errors import invalid_argument, unfit_argument

#: Each output: its index among the tensors, that of the side's input, and its name.
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


#: What a call says besides its tensors. `table` is the `RopeTable`, where it is one. Calls pass a plain tuple, which is
#: faster to make; who reads one makes it an `Options`.
OPTIONS = (*NUMBERS, *(name for _, name, _ in FREE_AXES), "head_dim", "heads_dim", "pdl", "library", "table")
Options = namedtuple("Options", OPTIONS)  # type: ignore[misc]


def _match(memories: Mapping[str, Memory], options: tuple[Any, ...], require: Require) -> Matched:
    said: Any = Options._make(options)
    if "q" not in memories:
        raise invalid_argument("q", None, "given")
    if said.table is not None and "rope_table" in memories:
        raise unfit_argument("inv_freq", "given", "left out, as rope_table is given")
    given = [tensor.name for tensor in TENSORS if tensor.is_written and tensor.name in memories]
    for tensor in (tensor for tensor in TENSORS if tensor.is_written and given):
        if tensor.side in memories and tensor.name not in memories:
            raise unfit_argument(tensor.name, "None", f"given, as {given[0]} is")
    numbers = {name: getattr(said, name) for name in NUMBERS}
    if said.attention_factor is None:
        numbers["attention_factor"] = 1.0 if said.table is None else said.table.attention_factor
    axes = {axis: getattr(said, name) for axis, name, _ in FREE_AXES if getattr(said, name) is not None}
    return match(
        memories,
        Layout(said.heads_dim, said.head_dim),
        axes,
        numbers,
        said.table,
        require=require,
        pdl=said.pdl,
        library=said.library,
    )


FORM = Form(tuple(tensor.name for tensor in TENSORS), _match)


def apply(tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """Out of place: into what was given, else into new tensors. Gives the results, None of a side that there is not.

    `table` is a `RopeTable`, or memory.
    """
    is_made = isinstance(table, RopeTable)
    tensors, options = (*tensors, None if is_made else table), (*options, table if is_made else None)
    results = tuple(tensors[out] for out, _, _ in OUTPUTS)
    if any(result is not None for result in results):
        run(FORM, tensors, options, dtype)
        return results
    op = torch_op_for(tensors[0], dtype)
    if op is None:
        want = "given, as of buffers none can be made. Or call qk_norm_rope_, which works in place"
        raise invalid_argument("q_out", None, want)
    return op.run_into_new(FORM, tensors, options)  # type: ignore[no-any-return]


def apply_in_place(tensors: tuple[Any, ...], table: Any, options: tuple[Any, ...], dtype: Any) -> None:
    """`tensors` have None for outputs; `table` is as above."""
    if isinstance(table, RopeTable):
        run(FORM, tensors + (None,), options + (table,), dtype)
    else:
        run(FORM, (*tensors, table), (*options, None), dtype)
