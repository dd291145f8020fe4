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
from ._outputs import open_sides, require_caches, require_outputs
from ._point import DTYPES, Point, complete, out_dtype_name
from ._rope import RopeTable
from ._shapes import Require, Sizes, expanded
from ._stages import OTHER_DTYPES, Taken
from .errors import invalid_argument, require_bool, require_float32, unfit_argument

_INDICES = ("int32", "int64")


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
    #: What the op's stages take at the point; None if they do not tell, or there is no such point.
    taken: Taken | None = None
    #: Whether k and v only go into their caches.
    cache_only: bool = False

    @property
    def open_sides(self) -> tuple[str, ...]:
        """The sides whose results have no output that is given. Where stages do not tell, each side has results."""
        if self.taken is not None:
            return open_sides(self.memories, self.taken, self.cache_only)
        elsewhere = ("out", "cache") if self.cache_only else ("out",)
        sides = self.sizes.num_heads
        return tuple(side for side in sides if not any(f"{side}_{name}" in self.memories for name in elsewhere))


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
    cache_only: Any = False,
    out_dtype: Any = None,
) -> Matched:
    """Checks all of a call but addresses. A size may be a symbol of a trace, for `require` to check. `axes` are those
    that do not follow from the memory; numbers and `out_dtype` may be None. Raises `invalid-argument`."""
    require_bool("pdl", pdl)
    require_bool("cache_only", cache_only)
    floats = {name: require_float32(name, number) for name, number in numbers.items() if number is not None}
    given = [tensor for tensor in TENSORS if tensor.name in memories]
    sides = [tensor.side for tensor in given if tensor.field == "in"]
    _require_sides(op, sides, given)
    require_caches(given, cache_only)
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
        if tensor.is_cache:
            _require_slots(tensor, own[tensor.name], sizes, require)
    own_out_dtype = None if out_dtype is None else out_dtype_name(out_dtype, first.dtype)
    point = complete(axes, op, implied_by(op, own, sizes, first.dtype, own_out_dtype))
    if point.missing is not None:
        name, wanted = point.missing
        raise invalid_argument(name, None, wanted)
    taken = None if point.impossible is not None else point.taken
    matched = Matched(point, sizes, own, floats, table, pdl, library, taken, cache_only)
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
        dtype = taken.dtypes.get(tensor.path, matched.point.values["dtype"])
        if own.dtype != dtype:
            raise unfit_argument(tensor.name, f"a {own.kind} of {own.dtype}", f"{dtype}, as {kernel} takes it")
    if "pair_axes" in memories and sizes.position_axes != taken.position_axes:
        what, want = memories["positions"].described, f"of {taken.position_axes} axes, as {kernel} takes it"
        raise unfit_argument("positions", what, want)
    if "cos_sin" in memories and sizes.rotary_dim != taken.rotary_dim:
        what, want = memories["cos_sin"].described, f"[rows, {taken.rotary_dim}], as {kernel} takes it"
        raise unfit_argument("cos_sin", what, want)
    require_outputs(memories, taken, matched.cache_only)


def _require_sides(op: OpRules, sides: Collection[str], given: Collection[TensorInput]) -> None:
    """Raises `invalid-argument` if a tensor is of a side that is not there."""
    for tensor in given:
        if tensor.side not in ("", *op.sides):
            raise unfit_argument(tensor.name, "given", f"left out, as {op.name} works on {listed(op.sides)}")
    if not sides:
        raise invalid_argument(op.sides[0], None, f"given, as {op.name} works on {listed(op.sides)}")
    for tensor in given:
        if tensor.side not in ("", *sides):
            raise unfit_argument(tensor.name, "given", f"left out, as {tensor.side} is")


def require_half(name: str, memory: Memory) -> None:
    """Raises `invalid-argument` for a dtype that kernels are not made for."""
    if memory.dtype not in DTYPES:
        raise unfit_argument(name, f"a {memory.kind} of {memory.dtype}", f"of {' or '.join(DTYPES)}")


def _require_kind(tensor: TensorInput, memory: Memory, leader: str, first: Memory) -> None:
    """Raises `invalid-argument` for a dtype or device that does not go with the first heads."""
    own = (first.dtype, *OTHER_DTYPES.get(tensor.field, ()))
    kinds = {"kernel": own, "index": _INDICES, "uint64": ("uint64", "int64")}
    wanted = kinds.get(tensor.dtype, (tensor.dtype,))
    if memory.dtype not in wanted:
        view = "; bytes of e4m3 are .view(torch.float8_e4m3fn)" if "e4m3" in wanted and memory.dtype == "uint8" else ""
        raise unfit_argument(tensor.name, f"a {memory.kind} of {memory.dtype}", f"{' or '.join(wanted)}{view}")
    if memory.device != first.device:
        raise unfit_argument(tensor.name, f"on {memory.device}", f"on {first.device}, as {leader} is")


def _require_slots(cache: TensorInput, memory: Memory, sizes: Sizes, require: Require) -> None:
    """Raises `invalid-argument` for a cache that has no slot."""
    for size in (sizes.blocks[cache.side], sizes.block_size):
        require(size > 0, lambda: unfit_argument(cache.name, memory.described, "of at least one slot"))
