"""What the caller passes, matched to the table of inputs.

In: an op, and the memory and the numbers of a call. Out: the point that they ask for, and each input's memory with the
dimensions that the table has for it; or a typed error. This checks what the C library cannot see: ranks, sizes that
must agree, dtypes and devices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ._inputs import TENSORS, TensorInput
from ._memory import Layout, Memory
from ._op_rules import OpRules, listed
from ._point import DTYPES, Point, complete
from ._rope import RopeTable
from .errors import invalid_argument, require_float32, unfit_argument

_POSITIONS = ("int32", "int64")

Require = Callable[[Any, Callable[[], Exception]], None]


@dataclass(frozen=True)
class Sizes:
    """How large the dimensions of a call are."""

    #: `[tokens]` or `[batch, tokens]`, by the first side that is given.
    tokens: tuple[int, ...]
    head_dim: int
    #: By side.
    num_heads: dict[str, int]
    #: Elements of the table; 0 if there is none.
    rotary_pairs: int

    def of(self, tensor: TensorInput) -> list[tuple[str, int]]:
        """Names and sizes of a tensor's dimensions; a batch is one in front of the tokens."""
        token_names = ("batch", "num_tokens")[-len(self.tokens) :]
        known = {
            "num_tokens": list(zip(token_names, self.tokens, strict=True)),
            "num_heads": [("num_heads", self.num_heads.get(tensor.side, 0))],
            "head_dim": [("head_dim", self.head_dim)],
            "rotary_dim / 2": [("rotary_dim / 2", self.rotary_pairs)],
        }
        return [dimension for name in tensor.shape for dimension in known[name]]


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
    pairs = _rotary_pairs(op, own.get("rope_table"), table)
    # A kernel is for one head_dim, so a symbol of a trace gets its value.
    sizes = Sizes(first.shape[:-2], int(first.shape[-1]), {side: own[side].shape[-2] for side in sides}, int(pairs))
    for tensor in given:
        _require_kind(tensor, own[tensor.name], leader, first)
        own[tensor.name] = _expanded(tensor, own[tensor.name], sizes, require)
    for tensor in TENSORS:
        name = tensor.name if tensor.name in own else tensor.side  # in place
        if tensor.is_written and name in own and own[name].is_read_only:
            raise unfit_argument(name, f"a {own[name].kind} that is read-only", "one that can be written")
    implied = {"headDim": sizes.head_dim, "rotaryDim": 2 * sizes.rotary_pairs, "dtype": first.dtype}
    point = complete({**axes, **implied}, op)
    if point.missing is not None:
        name, wanted = point.missing
        raise invalid_argument(name, None, wanted)
    return Matched(point, sizes, own, floats, table, pdl, library)


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


def _rotary_pairs(op: OpRules, memory: Memory | None, table: RopeTable | None) -> int:
    if table is not None:
        return table.rotary_dim // 2
    if memory is None:
        if op.has("rotaryDim"):
            raise invalid_argument("rope_table", None, "given")
        return 0
    if len(memory.shape) == 1:
        return memory.shape[0]
    raise unfit_argument("rope_table", memory.described, "a RopeTable, or its turns: [rotary_dim / 2]")


def require_half(name: str, memory: Memory) -> None:
    """Raises `invalid-argument` for a dtype that kernels are not made for."""
    if memory.dtype not in DTYPES:
        raise unfit_argument(name, f"a {memory.kind} of {memory.dtype}", f"of {' or '.join(DTYPES)}")


def _require_kind(tensor: TensorInput, memory: Memory, leader: str, first: Memory) -> None:
    """Raises `invalid-argument` for a dtype or device that does not go with the first heads."""
    kinds = {"kernel": (first.dtype,), "position": _POSITIONS, "uint64": ("uint64", "int64")}
    wanted = kinds.get(tensor.dtype, (tensor.dtype,))
    if memory.dtype not in wanted:
        raise unfit_argument(tensor.name, f"a {memory.kind} of {memory.dtype}", " or ".join(wanted))
    if memory.device != first.device:
        raise unfit_argument(tensor.name, f"on {memory.device}", f"on {first.device}, as {leader} is")


def _expanded(tensor: TensorInput, memory: Memory, sizes: Sizes, require: Require) -> Memory:
    """Adds a stride of 0 over leading dimensions that may be left out: heads that share a weight, and sequences that
    share positions."""
    names, wanted = zip(*sizes.of(tensor), strict=True)
    optional = _optional_leading(tensor, sizes)

    def unfit() -> Exception:
        allowed = range(optional, -1, -1)
        shapes = " or ".join(str(list(wanted[i:])) for i in allowed)
        named = " or ".join(f"[{', '.join(names[i:])}]" for i in allowed)
        return unfit_argument(tensor.name, memory.described, f"{shapes}: {named}")

    missing = len(wanted) - len(memory.shape)
    if not 0 <= missing <= optional:
        raise unfit()
    shape, strides = [*wanted[:missing], *memory.shape], [*[0] * missing, *memory.strides]
    for i in range(missing, len(wanted)):
        # A batch of one stands for all, as in torch.
        if i == 0 and len(wanted) > 1 and tensor.shape == ("num_tokens",) and shape[0] == 1:
            shape[0], strides[0] = wanted[0], 0
        else:
            require(shape[i] == wanted[i], unfit)
    return replace(memory, shape=tuple(shape), strides=tuple(strides))


def _optional_leading(tensor: TensorInput, sizes: Sizes) -> int:
    if tensor.shape[0] == "num_heads":
        return 1 if "num_heads" in tensor.strides else 0
    return len(sizes.tokens) - 1 if tensor.shape == ("num_tokens",) else 0
