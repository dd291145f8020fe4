"""A call, packed into C structs.

In: matched arguments. Out: argument structs that are complete but for addresses, and where these go. The C library
checks them. Must not know of torch: a tensor comes as `Memory`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from ._abi import Args, Functions, Heads
from ._inputs import ELEMENT_BYTES, NUMBERS, TENSORS, TensorInput, caller_field
from ._match import Matched
from ._memory import Memory
from ._regions import Region, require_apart
from .errors import invalid_argument, unfit_argument

_WORD_BYTES = 8
_PDL = 1


class Call:
    """Arguments that are complete but for addresses."""

    def __init__(
        self,
        args: Args,
        launches: Sequence[Sequence[tuple[int, int, int]]],
        regions: Sequence[Region],
        in_place: Sequence[str],
    ) -> None:
        """`launches` has for each: word of the struct, which of the caller's addresses goes there, and bytes behind it.
        `regions` are of the tensors that several launches work on, `in_place` the sides whose output is their input."""
        self._args = args
        self._words = memoryview(args).cast("B").cast("q")
        self._address = ctypes.addressof(args)
        self._launches = launches
        self._regions = regions
        self._in_place = in_place

    def set_table(self, address: int) -> None:
        """Of a table that is the same each time."""
        self._args.rope_table = address

    def _name_of(self, field: str) -> str:
        """What the caller calls a field: a call in place has no output argument."""
        side, _, name = field.partition(".")
        return caller_field(f"{side}.{name.replace('out', 'in', 1)}" if side in self._in_place else field)

    def bound(self, functions: Functions, kernel: int) -> Callable[[Sequence[int], int | None], None]:
        """What launches with the caller's addresses on a stream. It raises what the C library refuses, before anything
        is launched."""
        words, launches, run, args = self._words, self._launches, functions.run, self._address

        def place(addresses: Sequence[int], places: Sequence[tuple[int, int, int]]) -> None:
            for word, source, offset in places:
                words[word] = addresses[source] + offset

        # Spelled out once more, because every call pays for it.
        def launch_one(addresses: Sequence[int], stream: int | None) -> None:
            for word, source, offset in launches[0]:
                words[word] = addresses[source] + offset
            status = run(kernel, args, stream)
            if status != 0:
                functions.require(status, self._name_of)

        def launch_several(addresses: Sequence[int], stream: int | None) -> None:
            require_apart(self._regions, addresses)
            for places in launches:
                place(addresses, places)
                functions.require(functions.check(kernel, args), self._name_of)
            for places in launches:
                place(addresses, places)
                functions.require(run(kernel, args, stream), self._name_of)

        return launch_one if len(launches) == 1 else launch_several


@dataclass(frozen=True)
class _Placed:
    """A tensor of the call: over which elements its tokens and sequences are apart."""

    tensor: TensorInput
    memory: Memory
    #: Between the sequences of a batch; 0 where there is one.
    batch_stride: int
    token_stride: int
    #: Of the other dimensions.
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def has_stride_over_tokens(self) -> bool:
        return "num_tokens" in self.tensor.strides


def pack(matched: Matched, inputs: Collection[str]) -> Call:
    """The call of a kernel that is given `inputs`, but for addresses. A batch whose tokens no one stride reaches is
    launched sequence by sequence."""
    sizes, memories = matched.sizes, matched.memories
    args = Args()
    args.struct_size = ctypes.sizeof(Args)
    args.flags = _PDL if matched.pdl else 0
    _require_taken(matched, inputs)
    for name in NUMBERS:
        if name in inputs:
            setattr(args, name, _number(matched, name))
    if "positions" in inputs:
        args.position_bits = 32  # where there are no positions, it is these that the C library is to miss
    for side, count in sizes.num_heads.items():
        getattr(args, side).num_heads = count
    placed = [
        _placed(tensor, memory, len(sizes.tokens))
        for tensor in TENSORS
        # What is not written elsewhere is written in place.
        if (memory := memories.get(tensor.name, memories.get(tensor.side) if tensor.is_written else None)) is not None
    ]
    batch, tokens = (1, *sizes.tokens)[-2:]
    launches, args.num_tokens = batch, tokens
    with_tokens = [each for each in placed if "num_tokens" in each.tensor.shape]
    if tokens == 1 and all(each.has_stride_over_tokens or each.batch_stride == 1 for each in with_tokens):
        placed = [replace(each, token_stride=each.batch_stride) for each in placed]
        launches, args.num_tokens = 1, batch
    elif batch == 1 or all(each.batch_stride == tokens * each.token_stride for each in with_tokens):
        launches, args.num_tokens = 1, batch * tokens
    args.rope_table_length = sizes.rotary_pairs
    for each in placed:
        _set_strides(args, each)
        if each.tensor.dtype == "position":
            args.position_bits = 8 * ELEMENT_BYTES[each.memory.dtype]
    places = [(_word(each.tensor), each) for each in placed]
    in_place = [each.tensor.side for each in placed if each.tensor.is_written and each.tensor.name not in memories]
    own = [each for each in placed if each.tensor.name in memories and 0 not in each.memory.shape]
    regions = [_region(each, batch, tokens, each.tensor.name in in_place) for each in own if launches > 1]
    return Call(args, [[_address(word, each, i) for word, each in places] for i in range(launches)], regions, in_place)


def _require_taken(matched: Matched, inputs: Collection[str]) -> None:
    """Raises `invalid-argument` for what the caller gave and the kernel is not given."""
    given = {tensor.name: tensor.path for tensor in TENSORS if tensor.name in matched.memories}
    # A table brings a number of its own through a registered op, so it comes first.
    given |= ({} if matched.table is None else {"rope_table": "rope_table"}) | {name: name for name in matched.numbers}
    for name, path in given.items():
        if path not in inputs:
            raise unfit_argument(name, "given", f"left out, as the kernel for {matched.point} does not take it")


def _number(matched: Matched, name: str) -> float:
    number = matched.numbers.get(name, matched.defaults.get(name))
    if number is None:
        raise invalid_argument(name, None, "given")
    return number


def _region(each: _Placed, batch: int, tokens: int, is_in_place: bool) -> Region:
    memory, has_tokens = each.memory, "num_tokens" in each.tensor.shape
    outer = [(batch, each.batch_stride), (tokens, each.token_stride)] if has_tokens else []
    counts = [*outer, *zip(each.shape, each.strides, strict=True)]
    size = ELEMENT_BYTES[memory.dtype]
    is_written = each.tensor.is_written or is_in_place
    dimensions = [(count, stride * size) for count, stride in counts if count > 1 and (is_written or stride != 0)]
    return Region(each.tensor.name, is_written, each.tensor.side, memory.source, memory.offset * size, size, dimensions)


def _address(word: int, each: _Placed, sequence: int) -> tuple[int, int, int]:
    memory = each.memory
    elements = memory.offset + sequence * each.batch_stride
    return word, memory.source, elements * ELEMENT_BYTES[memory.dtype]


def _placed(tensor: TensorInput, memory: Memory, token_rank: int) -> _Placed:
    rank = token_rank if "num_tokens" in tensor.shape else 0
    batch_stride, token_stride = (0, 0, *memory.strides[:rank])[-2:]
    return _Placed(tensor, memory, batch_stride, token_stride, memory.shape[rank:], memory.strides[rank:])


def _set_strides(args: Args, each: _Placed) -> None:
    """Raises `invalid-argument` where dimensions without a field for their stride do not lie side by side."""
    tensor = each.tensor
    part: Args | Heads = getattr(args, tensor.side) if tensor.side else args
    strides = [each.token_stride] if "num_tokens" in tensor.shape else []
    shape = [args.num_tokens] if "num_tokens" in tensor.shape else []
    size = 1
    dimensions = zip(tensor.shape, [*shape, *each.shape], [*strides, *each.strides], strict=True)
    for dimension, count, stride in reversed(list(dimensions)):
        if dimension in tensor.strides:
            setattr(part, tensor.strides[dimension], stride)
        elif count > 1 and stride != size:
            want = "one in which a head is contiguous" if tensor.is_heads else "contiguous"
            what = f"a {each.memory.kind} with a stride of {stride} between elements"
            raise unfit_argument(tensor.name, what, want)
        size *= count


def _word(tensor: TensorInput) -> int:
    """Where its address lies in `normrope_args`, as words."""
    field = "in_" if tensor.field == "in" else tensor.field
    start: int = getattr(Args, tensor.side).offset if tensor.side else 0
    offset: int = getattr(Heads if tensor.side else Args, field).offset
    return (start + offset) // _WORD_BYTES
