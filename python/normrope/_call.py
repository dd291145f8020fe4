"""A call, packed into C structs.

In: matched arguments. Out: argument structs that are complete but for addresses, and where these go. The C library
checks them. Must not know of torch: a tensor comes as `Memory`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ._abi import Args, Heads
from ._inputs import ELEMENT_BYTES, NUMBERS, TENSORS, TensorInput, caller_field
from ._launches import counter_of
from ._library import Kernel
from ._match import Matched, require_taken
from ._memory import Memory
from ._outputs import open_sides
from ._regions import Region, require_apart, require_apart_from_itself
from ._shapes import Sizes
from ._stages import Taken
from .errors import invalid_argument, unfit_argument

_WORD_BYTES = 8
_PDL = 1

#: A word of the struct, which of the caller's addresses goes there, and how many bytes behind that.
AddressField = tuple[int, int, int]


class Call:
    """Arguments that are complete but for addresses."""

    def __init__(
        self,
        args: Args,
        launches: Sequence[Sequence[AddressField]],
        regions: Sequence[Region],
        in_place: Collection[str],
        written: tuple[int, ...],
    ) -> None:
        """`regions` are those of the tensors, if there are several launches. `in_place` are the sides whose output is
        their input."""
        self._args = args
        self._words = memoryview(args).cast("B").cast("q")
        self._launches = launches
        self._regions = regions
        self._in_place = in_place
        #: Indices of the caller's addresses that are written to.
        self.written = written
        #: The owner of the memory of a table that is the same each time.
        self.table: Any = None

    def set_table(self, table: Any, address: int) -> None:
        self.table, self._args.rope_table = table, address

    def _name_of(self, field: str) -> str:
        """The caller's name for a field. A call in place has no output argument."""
        side, _, name = field.partition(".")
        return caller_field(f"{side}.{name.replace('out', 'in', 1)}" if side in self._in_place else field)

    def bound(self, kernel: Kernel) -> Callable[[Sequence[int], int | None], None]:
        """Returns a function that launches with the caller's addresses on a stream. It raises what the C library
        refuses, before anything is launched."""
        functions, index, counter = kernel.functions, kernel.index, counter_of(kernel.id)
        words, launches, run, args = self._words, self._launches, functions.run, ctypes.addressof(self._args)

        def set_addresses(addresses: Sequence[int], fields: Sequence[AddressField]) -> None:
            for word, source, offset in fields:
                words[word] = addresses[source] + offset

        # The loop is spelled out again, because a call of a function would slow down every launch.
        def launch_one(addresses: Sequence[int], stream: int | None) -> None:
            for word, source, offset in launches[0]:
                words[word] = addresses[source] + offset
            status = run(index, args, stream)
            if status != 0:
                functions.require(status, self._name_of)
            counter[0] += 1

        def launch_several(addresses: Sequence[int], stream: int | None) -> None:
            require_apart(self._regions, addresses)
            for fields in launches:
                set_addresses(addresses, fields)
                functions.require(functions.check(index, args), self._name_of)
            for fields in launches:
                set_addresses(addresses, fields)
                functions.require(run(index, args, stream), self._name_of)
                counter[0] += 1

        return launch_one if len(launches) == 1 else launch_several


@dataclass(frozen=True)
class _Operand:
    """A tensor of the call. The strides over its tokens and sequences are apart from those of other dimensions."""

    tensor: TensorInput
    memory: Memory
    #: Between the sequences of a batch; 0 if there is one.
    batch_stride: int
    token_stride: int
    #: The table's dimension that stands for the tokens; empty if there is none.
    over_tokens: str
    #: Size and stride of each other dimension, by its name.
    others: dict[str, tuple[int, int]]

    def address_field(self, sequence: int) -> AddressField:
        elements = self.memory.offset + sequence * self.batch_stride
        return _word(self.tensor), self.memory.source, elements * ELEMENT_BYTES[self.memory.dtype]

    def region(self, batch: int, tokens: int, is_written: bool) -> Region:
        memory, size = self.memory, ELEMENT_BYTES[self.memory.dtype]
        outer = [(batch, self.batch_stride), (tokens, self.token_stride)] if self.over_tokens else []
        counts = [*outer, *self.others.values()]
        dimensions = [(count, stride * size) for count, stride in counts if count > 1 and (is_written or stride != 0)]
        offset = memory.offset * size
        return Region(self.tensor.name, is_written, self.tensor.side, memory.source, offset, size, dimensions)


def pack_on_host(matched: Matched, kernel: Kernel) -> Call:
    """A call whose table lies in host memory."""
    call = pack(matched, kernel.takes)
    if matched.table is not None:
        turns = matched.table.on("cpu", kernel.functions)
        call.set_table(turns, ctypes.addressof(turns))
    return call


def pack(matched: Matched, takes: Taken) -> Call:
    """The call of a kernel."""
    require_taken(matched, takes)
    sizes, memories = matched.sizes, matched.memories
    in_place = open_sides(memories, takes, matched.cache_only)
    _require_elsewhere(matched, takes, in_place)
    outputs = {f"{side}_out": memories[side] for side in in_place}
    operands = [
        _operand(tensor, memory, sizes)
        for tensor in TENSORS
        if (memory := memories.get(tensor.name, outputs.get(tensor.name))) is not None
        # Empty memory may have no address. Where a tensor is optional, the library then takes it for left out.
        if tensor.path not in takes.optional or 0 not in memory.shape
    ]
    batch, tokens = (1, *sizes.tokens)[-2:]
    args = _args_of(matched, takes)
    operands, launches, args.num_tokens = _in_launches(operands, batch, tokens)
    for each in operands:
        _set_strides(args, each)
        if each.tensor.is_cache:  # of a view whose strides are 0 the library knows one block
            require_apart_from_itself(each.region(batch, tokens, is_written=True))
        if each.tensor.bits:
            setattr(args, each.tensor.bits, 8 * ELEMENT_BYTES[each.memory.dtype])
    regions = [
        each.region(batch, tokens, each.tensor.is_written or each.tensor.name in in_place)
        for each in operands
        if launches > 1 and each.tensor.name in memories and 0 not in each.memory.shape
    ]
    fields = [[each.address_field(i) for each in operands] for i in range(launches)]
    written = tuple(dict.fromkeys(each.memory.source for each in operands if each.tensor.is_written))
    return Call(args, fields, regions, in_place, written)


def _require_elsewhere(matched: Matched, takes: Taken, in_place: Collection[str]) -> None:
    """Raises `invalid-argument` for heads that are only copied and have no output."""
    for side in in_place:
        if side in takes.copied_sides:
            want = f"given with {side}_out, as the kernel for {matched.point} only copies {side}"
            raise unfit_argument(side, "given in place", want)


def _args_of(matched: Matched, takes: Taken) -> Args:
    """The struct with flags, numbers and sizes. Raises `invalid-argument` for a number that is missing."""
    args = Args(struct_size=ctypes.sizeof(Args), flags=_PDL if matched.pdl else 0)
    factor = 1.0 if matched.table is None else matched.table.attention_factor
    numbers = {"attention_factor": factor, **matched.numbers}
    for name in NUMBERS:
        if name in takes.inputs:
            if name not in numbers:
                raise invalid_argument(name, None, "given")
            setattr(args, name, numbers[name])
    for tensor in TENSORS:
        if tensor.bits and tensor.path in takes.inputs - takes.optional:
            setattr(args, tensor.bits, 32)  # so that the C library reports a missing index, not its width
    if "slots" in takes.inputs:
        args.block_size = matched.sizes.block_size
    for side, count in matched.sizes.num_heads.items():
        getattr(args, side).num_heads = count
    if matched.table is not None:
        args.rope_table_length = matched.sizes.rotary_pairs
    return args


def _operand(tensor: TensorInput, memory: Memory, sizes: Sizes) -> _Operand:
    over = sizes.tokens_of(tensor)
    dimensions = list(zip(sizes.of(tensor), memory.strides, strict=True))
    outer = [stride for dimension, stride in dimensions if dimension.part_of == over]
    batch_stride, token_stride = (0, 0, *outer)[-2:]
    others = {own.name: (own.size, stride) for own, stride in dimensions if own.part_of != over}
    return _Operand(tensor, memory, batch_stride, token_stride, over, others)


def _in_launches(operands: list[_Operand], batch: int, tokens: int) -> tuple[list[_Operand], int, int]:
    """The operands, the number of launches, and the number of tokens of each. A batch is one launch if one stride
    reaches all its tokens; else each sequence is one."""
    with_tokens = [each for each in operands if each.over_tokens]
    if tokens == 1 and all(each.batch_stride == 1 or each.over_tokens in each.tensor.strides for each in with_tokens):
        return [replace(each, token_stride=each.batch_stride) for each in operands], 1, batch
    if batch == 1 or all(each.batch_stride == tokens * each.token_stride for each in with_tokens):
        return operands, 1, batch * tokens
    return operands, batch, tokens


def _set_strides(args: Args, each: _Operand) -> None:
    """Strides and lengths. Raises `invalid-argument` if a dimension without a field for its stride has gaps."""
    tensor = each.tensor
    part: Args | Heads = getattr(args, tensor.side) if tensor.side else args
    dimensions = {**each.others, each.over_tokens: (args.num_tokens, each.token_stride)}  # the last may have no name
    size = 1
    for dimension in reversed(tensor.shape):
        count, stride = dimensions.get(dimension, (1, 0))  # one position has no dimension
        if dimension in tensor.strides:
            setattr(part, tensor.strides[dimension], stride)
        elif count > 1 and stride != size:
            want = "one in which a head is contiguous" if tensor.is_heads or tensor.is_cache else "contiguous"
            if "position_axes" in tensor.shape and "position_axes" in dimensions:
                want = "one in which the positions of an axis are contiguous"
            what = f"a {each.memory.kind} with a stride of {stride} between elements"
            raise unfit_argument(tensor.name, what, want)
        size *= count
    # The length of heads says nothing: a stride may be negative.
    strides = [stride for _, stride in each.others.values()]
    if (not tensor.side or tensor.is_cache) and not each.over_tokens and min(strides, default=0) >= 0:
        length = 1 + sum((count - 1) * stride for count, stride in each.others.values())
        setattr(part, tensor.length, length if 0 not in each.memory.shape else 0)


def _word(tensor: TensorInput) -> int:
    """The index of its address among the words of `normrope_args`."""
    field = "in_" if tensor.field == "in" else tensor.field
    start: int = getattr(Args, tensor.side).offset if tensor.side else 0
    offset: int = getattr(Heads if tensor.side else Args, field).offset
    return (start + offset) // _WORD_BYTES
