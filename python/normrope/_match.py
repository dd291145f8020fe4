"""What the caller passes, matched to the table of inputs.

In: an op, and the memory and the numbers of a call. Out: the point that they ask for, and each input's memory with the
dimensions that the table has for it; or a typed error. Checked here is what the C library cannot see: ranks, sizes that
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


@dataclass
class Sizes:
    """What the dimensions of a call are as large as."""

    #: `[tokens]` or `[batch, tokens]`, by the first side that is given.
    tokens: tuple[int, ...]
    head_dim: int
    #: Of a side.
    num_heads: dict[str, int]
    #: Elements of the table; 0 where there is none.
    rotary_pairs: int

    def of(self, tensor: TensorInput, dimension: str) -> tuple[int, ...]:
        if dimension == "num_tokens":
            return self.tokens
        if dimension == "num_heads":
            return (self.num_heads[tensor.side],)
        return ({"head_dim": self.head_dim, "rotary_dim / 2": self.rotary_pairs}[dimension],)

    def names(self, tensor: TensorInput) -> list[str]:
        batch = ["batch"] if len(self.tokens) > 1 and tensor.shape[0] == "num_tokens" else []
        return [*batch, *tensor.shape]

    def shape(self, tensor: TensorInput) -> tuple[int, ...]:
        return tuple(size for dimension in tensor.shape for size in self.of(tensor, dimension))


def raise_unless(condition: Any, error: Callable[[], Exception]) -> None:
    if not condition:
        raise error()


@dataclass(frozen=True)
class Matched:
    """What a call's arguments are to the table of inputs."""

    point: Point
    sizes: Sizes
    #: By the names of inputs, with the dimensions that the table has for them.
    memories: dict[str, Memory]
    #: By the names of inputs.
    numbers: dict[str, float]
    #: Of numbers that the caller has left out, what a kernel that takes them is given.
    defaults: dict[str, float]
    pdl: Any
    library: Any
    #: Where the table is no memory of the caller's.
    table: RopeTable | None

    @property
    def written(self) -> tuple[int, ...]:
        """Which of the caller's addresses are written to."""
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
    """Checks what can be told of a call without addresses. A size may be a symbol of a trace, which `require` then
    looks at. `axes` are those that do not follow from the memory; numbers may be None. Raises `invalid-argument`."""
    if not isinstance(pdl, bool):
        raise invalid_argument("pdl", pdl, "True or False")
    floats = {name: require_float32(name, number) for name, number in numbers.items() if number is not None}
    own = {
        tensor.name: layout.of(tensor.name, memories[tensor.name]) if tensor.is_heads else memories[tensor.name]
        for tensor in TENSORS
        if tensor.name in memories
    }
    heads = {tensor.side: tensor.name for tensor in TENSORS if tensor.field == "in" and tensor.name in own}
    _require_sides(op, heads, own)
    leader = next(iter(heads))
    first = own[leader]
    require_half(leader, first)
    pairs = _rotary_pairs(op, own.get("rope_table"), table)
    # A kernel is for one head_dim: of a symbol of a trace, the value.
    counts = {side: own[name].shape[-2] for side, name in heads.items()}
    sizes = Sizes(first.shape[:-2], int(first.shape[-1]), counts, int(pairs))
    for tensor in TENSORS:
        if tensor.name not in own:
            continue
        memory = own[tensor.name]
        if tensor.side not in ("", *heads):
            raise unfit_argument(tensor.name, "given", f"left out, as {tensor.side} is")
        _require_kind(tensor, memory, leader, first)
        own[tensor.name] = _expanded(tensor, memory, sizes, require)
    for tensor in (tensor for tensor in TENSORS if tensor.is_written):
        name = tensor.name if tensor.name in own else tensor.side
        if name in own and own[name].is_read_only:
            raise unfit_argument(name, f"a {own[name].kind} that is read-only", "one that can be written")
    implied = {"headDim": sizes.head_dim, "rotaryDim": 2 * sizes.rotary_pairs, "dtype": first.dtype}
    point = complete({**axes, **implied}, op)
    if point.missing is not None:
        name, wanted = point.missing
        raise invalid_argument(name, None, wanted)
    defaults = {"attention_factor": 1.0 if table is None else table.attention_factor}
    return Matched(point, sizes, own, floats, defaults, pdl, library, table)


def _require_sides(op: OpRules, heads: Mapping[str, str], given: Collection[str]) -> None:
    """Nothing is given of a side that the op has not, and of the others all results are given or none."""
    own = [tensor for tensor in TENSORS if tensor.name in given]
    for tensor in own:
        if tensor.side not in ("", *op.sides):
            raise unfit_argument(tensor.name, "given", f"left out, as {op.name} works on {listed(op.sides)}")
    if not heads:
        raise invalid_argument(op.sides[0], None, f"given, as {op.name} works on {listed(op.sides)}")
    outputs = [tensor.name for tensor in own if tensor.is_written]
    for tensor in (tensor for tensor in TENSORS if tensor.is_written and outputs):
        if tensor.side in heads and tensor.name not in outputs:
            raise unfit_argument(tensor.name, "None", f"given, as {outputs[0]} is")


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
    """A dtype that kernels are made for."""
    if memory.dtype not in DTYPES:
        raise unfit_argument(name, f"a {memory.kind} of {memory.dtype}", f"of {' or '.join(DTYPES)}")


def _require_kind(tensor: TensorInput, memory: Memory, leader: str, first: Memory) -> None:
    """Dtype and device. The point says which dtypes the heads may have."""
    kinds = {"kernel": (first.dtype,), "position": _POSITIONS, "uint64": ("uint64", "int64")}
    wanted = kinds.get(tensor.dtype, (tensor.dtype,))
    if memory.dtype not in wanted:
        raise unfit_argument(tensor.name, f"a {memory.kind} of {memory.dtype}", " or ".join(wanted))
    if memory.device != first.device:
        raise unfit_argument(tensor.name, f"on {memory.device}", f"on {first.device}, as {leader} is")


def _expanded(tensor: TensorInput, memory: Memory, sizes: Sizes, require: Require) -> Memory:
    """With a stride of 0 over the leading dimensions that may be left out: heads with one weight, and the batch where
    all of it has the same positions."""
    wanted, names = sizes.shape(tensor), sizes.names(tensor)
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
        # A batch of one is what torch's broadcasting makes of it.
        if i == 0 and len(wanted) > 1 and tensor.shape == ("num_tokens",) and shape[0] == 1:
            shape[0], strides[0] = wanted[0], 0
        else:
            require(shape[i] == wanted[i], unfit)
    return replace(memory, shape=tuple(shape), strides=tuple(strides))


def _optional_leading(tensor: TensorInput, sizes: Sizes) -> int:
    if tensor.shape[0] == "num_heads":
        return 1 if "num_heads" in tensor.strides else 0
    return len(sizes.tokens) - 1 if tensor.shape == ("num_tokens",) else 0
