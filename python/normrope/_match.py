"""What the caller passes, matched to the table of inputs.

In: an op, and the memory and the numbers of a call. Out: the point that they ask for, and each input's memory with the
dimensions that the table has for it; or a typed error. This checks what the C library cannot see: ranks, sizes that
must agree, dtypes and devices; and what no kernel of the point takes, before one is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ._implied import implied_by, rotary_dim_of, sizes_of
from ._inputs import TENSORS, TensorInput
from ._memory import Layout, Memory
from ._op_rules import OpRules, listed
from ._point import DTYPES, Point, complete
from ._rope import RopeTable
from ._shapes import Require, Sizes, expanded
from ._stages import FLOAT32_FIELDS, Taken
from .errors import invalid_argument, require_float32, unfit_argument

_POSITIONS = ("int32", "int64")


def raise_unless(condition: Any, error: Callable[[], Exception]) -> None:
    if not condition:
        raise error()


@dataclass(frozen=True)
class Matched:
    """A call's arguments, by the names of the table of inputs."""

    point: Point
    sizes: Sizes
    #: With the dimensions that the table has for them.
    memories: dict[str, Memory]
    #: Those that are given.
    numbers: dict[str, float]
    #: None if the table is memory of the caller's.
    table: RopeTable | None
    pdl: bool
    library: Any

    @property
    def written(self) -> tuple[int, ...]:
        """Indices of the caller's addresses that are written to."""
        outputs = (
            self.memories.get(tensor.name, self.memories.get(tensor.side)) for tensor in TENSORS if tensor.is_written
        )
        return tuple(dict.fromkeys(memory.source for memory in outputs if memory is not None))


def match(
    op: OpRules,
    memories: Mapping[str, Memory],
    layout: Layout,
    axes: Mapping[str, Any],
    numbers: Mapping[str, Any],
    table: RopeTable | None,
    require: Require = raise_unless,
    pdl: Any = False,
    library: Any = None,
) -> Matched:
    """Checks all of a call but addresses. A size may be a symbol of a trace, for `require` to check. `axes` are those
    that do not follow from the memory; numbers may be None. Raises `invalid-argument`."""
    if not isinstance(pdl, bool):
        raise invalid_argument("pdl", pdl, "True or False")
    floats = {name: require_float32(name, number) for name, number in numbers.items() if number is not None}
    given = [tensor for tensor in TENSORS if tensor.name in memories]
    sides = [tensor.side for tensor in given if tensor.field == "in"]
    _require_sides(op, sides, given)
    own = {
        tensor.name: layout.of(tensor.name, memories[tensor.name]) if tensor.is_heads else memories[tensor.name]
        for tensor in given
    }
    leader = sides[0]
    first = own[leader]
    require_half(leader, first)
    asked = [name for name, axis in op.arguments.items() if axis["name"] in axes]
    sizes = sizes_of(own, leader, sides, rotary_dim_of(op, own, table, asked))
    for tensor in given:
        _require_kind(tensor, own[tensor.name], leader, first)
        own[tensor.name] = expanded(tensor, own[tensor.name], sizes, require)
    for tensor in TENSORS:
        name = tensor.name if tensor.name in own else tensor.side  # in place
        if tensor.is_written and name in own and own[name].is_read_only:
            raise unfit_argument(name, f"a {own[name].kind} that is read-only", "one that can be written")
    point = complete(axes, op, implied_by(own, sizes, first.dtype))
    if point.missing is not None:
        name, wanted = point.missing
        raise invalid_argument(name, None, wanted)
    matched = Matched(point, sizes, own, floats, table, pdl, library)
    taken = None if point.impossible is not None else point.taken
    if taken is not None:
        require_taken(matched, taken)
    return matched


def require_taken(matched: Matched, taken: Taken) -> None:
    """Raises `invalid-argument` for an argument that a kernel does not take, or not so."""
    memories, sizes = matched.memories, matched.sizes
    given = {tensor.name: tensor.path for tensor in TENSORS if tensor.name in memories}
    # A table brings a number of its own through a registered op, so it comes first.
    given |= ({} if matched.table is None else {"rope_table": "rope_table"}) | {name: name for name in matched.numbers}
    kernel = f"the kernel for {matched.point}"
    for name, path in given.items():
        if path not in taken.inputs:
            raise unfit_argument(name, "given", f"left out, as {kernel} does not take it")
    for tensor in TENSORS:
        if tensor.name not in memories or tensor.dtype != "kernel":
            continue
        own = memories[tensor.name]
        dtype = "float32" if tensor.path in taken.float32 else matched.point.values["dtype"]
        if own.dtype != dtype:
            raise unfit_argument(tensor.name, f"a {own.kind} of {own.dtype}", f"{dtype}, as {kernel} takes it")
    if "pair_axes" in memories and sizes.position_axes != taken.position_axes:
        what, want = memories["positions"].described, f"of {taken.position_axes} axes, as {kernel} takes it"
        raise unfit_argument("positions", what, want)
    if "cos_sin" in memories and sizes.rotary_dim != taken.rotary_dim:
        what, want = memories["cos_sin"].described, f"[rows, {taken.rotary_dim}], as {kernel} takes it"
        raise unfit_argument("cos_sin", what, want)


def _require_sides(op: OpRules, sides: Collection[str], given: Collection[TensorInput]) -> None:
    """Raises `invalid-argument` if a tensor is of a side that is not there, or only some outputs are given."""
    for tensor in given:
        if tensor.side not in ("", *op.sides):
            raise unfit_argument(tensor.name, "given", f"left out, as {op.name} works on {listed(op.sides)}")
    if not sides:
        raise invalid_argument(op.sides[0], None, f"given, as {op.name} works on {listed(op.sides)}")
    for tensor in given:
        if tensor.side not in ("", *sides):
            raise unfit_argument(tensor.name, "given", f"left out, as {tensor.side} is")
    outputs = {tensor.side: tensor.name for tensor in given if tensor.is_written}
    for tensor in TENSORS:
        if outputs and tensor.is_written and tensor.side in sides and tensor.side not in outputs:
            raise unfit_argument(tensor.name, "None", f"given, as {next(iter(outputs.values()))} is")


def require_half(name: str, memory: Memory) -> None:
    """Raises `invalid-argument` for a dtype that kernels are not made for."""
    if memory.dtype not in DTYPES:
        raise unfit_argument(name, f"a {memory.kind} of {memory.dtype}", f"of {' or '.join(DTYPES)}")


def _require_kind(tensor: TensorInput, memory: Memory, leader: str, first: Memory) -> None:
    """Raises `invalid-argument` for a dtype or device that does not go with the first heads."""
    own = (first.dtype, "float32") if tensor.field in FLOAT32_FIELDS else (first.dtype,)
    kinds = {"kernel": own, "position": _POSITIONS, "uint64": ("uint64", "int64")}
    wanted = kinds.get(tensor.dtype, (tensor.dtype,))
    if memory.dtype not in wanted:
        raise unfit_argument(tensor.name, f"a {memory.kind} of {memory.dtype}", " or ".join(wanted))
    if memory.device != first.device:
        raise unfit_argument(tensor.name, f"on {memory.device}", f"on {first.device}, as {leader} is")
