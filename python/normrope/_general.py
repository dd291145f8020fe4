"""The op on q and k, wherever they lie: what the functions of `_op` do.

In: tensors, or buffers, in the order of the table of inputs, and all else that a call says. Out: one call, in place or out
of place. The names of what it takes come from the tables; `_op` spells them for people and editors.
"""

from __future__ import annotations

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
TABLE = next(i for i, tensor in enumerate(TENSORS) if tensor.name == "rope_table")
ATTENTION_FACTOR = NUMBERS.index("attention_factor")


def _match(memories: Mapping[str, Memory], options: tuple[Any, ...], require: Require) -> Matched:
    numbers, rest = options[: len(NUMBERS)], options[len(NUMBERS) :]
    axes = {axis: value for (axis, *_), value in zip(FREE_AXES, rest, strict=False) if value is not None}
    head_dim, heads_dim, pdl, library, table = rest[len(FREE_AXES) :]
    if "q" not in memories:
        raise invalid_argument("q", None, "given")
    layout = Layout(heads_dim, head_dim)
    return match(memories, layout, axes, dict(zip(NUMBERS, numbers, strict=True)), table, require, pdl, library)


FORM = Form(tuple(tensor.name for tensor in TENSORS), _match)


def with_table(tensors: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """With the `RopeTable` behind the options, where it is one, and its attention factor, where none was given."""
    table = tensors[TABLE]
    if isinstance(table, RopeTable):
        tensors = (*tensors[:TABLE], None, *tensors[TABLE + 1 :])
    else:
        table = None
    factor = options[ATTENTION_FACTOR]
    if factor is None:
        factor = 1.0 if table is None else table.attention_factor
        options = (*options[:ATTENTION_FACTOR], factor, *options[ATTENTION_FACTOR + 1 :])
    return tensors, (*options, table)


def apply(tensors: tuple[Any, ...], options: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """Out of place: into what was given, else into new tensors. Gives the results, None of a side that there is not."""
    given = [name for out, _, name in OUTPUTS if tensors[out] is not None]
    for out, side, name in OUTPUTS:
        if tensors[out] is None and tensors[side] is not None and given:
            raise unfit_argument(name, "None", f"given, as {given[0]} is")
    tensors, options = with_table(tensors, options)
    op = None if given else torch_op_for(tensors[0])
    if op is not None:
        results: tuple[Any, ...] = op.run_into_new(FORM, tensors, options)
        return results
    if not given:
        want = "given, as of buffers none can be made. Or call qk_norm_rope_, which works in place"
        raise invalid_argument("q_out", None, want)
    run(FORM, tensors, options, dtype)
    return tuple(tensors[out] for out, _, _ in OUTPUTS)


def apply_in_place(tensors: tuple[Any, ...], options: tuple[Any, ...], dtype: Any) -> None:
    """`tensors` have None for outputs."""
    run(FORM, *with_table(tensors, options), dtype)
