"""A call: checked, and packed into the C struct.

In: numbers and memory as the caller gave them. Out: `normrope_args`, or a typed error. Checked here is what the C library
cannot see, such as shapes and dtypes; it checks alignment, overlap and numbers itself. Must not know of torch: a tensor
comes as `Memory`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from ._abi import Args, Heads
from ._point import Point, as_int, point_of
from ._rope import Rope, Table
from .errors import invalid_argument, require_count, require_float32, require_number, require_positive, unfit_argument

POSITION_BITS = {"int32": 32, "int64": 64}


@dataclass(frozen=True)
class Memory:
    """What an argument names, as the checks see it."""

    #: `buffer` or `tensor`.
    kind: str
    #: `bf16`, `f16`, `int32`, `int64`, or what its owner calls it.
    dtype: str
    shape: tuple[int, ...]
    #: In elements.
    strides: tuple[int, ...]
    address: int
    #: Where it lies, such as `cuda:0`.
    device: str = "cpu"

    @property
    def described(self) -> str:
        if self.kind == "buffer" and len(self.shape) == 1:
            return f"a buffer of {self.shape[0]} elements"
        return f"a {self.kind} of shape {list(self.shape)}"

    @property
    def end(self) -> int:
        """The address behind it, where no stride is negative."""
        span = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True)) + 1
        return self.address + span * (POSITION_BITS[self.dtype] // 8 if self.dtype in POSITION_BITS else 2)

    @property
    def is_contiguous(self) -> bool:
        wanted = 1
        for size, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if size > 1 and stride != wanted:
                return False
            wanted *= size
        return True


@dataclass(frozen=True)
class Numbers:
    """What is no memory, of Python's own types."""

    num_heads_q: int
    num_heads_k: int
    num_heads_v: int
    #: Whether it can be is for the point to say, of `rotary_dim` too.
    head_dim: Any
    eps: Any
    base: Any
    is_neox: bool
    factor: float
    low: float
    high: float
    attention_factor: float
    rotary_dim: Any

    @property
    def row(self) -> int:
        """Elements of a token's heads."""
        row: int = (self.num_heads_q + self.num_heads_k + self.num_heads_v) * self.head_dim
        return row

    @property
    def heads(self) -> str:
        return f"{self.num_heads_q} + {self.num_heads_k} + {self.num_heads_v} heads of {self.head_dim}"

    def point(self, dtype: str) -> Point:
        return point_of(self.head_dim, self.rotary_dim, self.is_neox, dtype)

    def rope(self) -> Rope:
        """Raises `invalid-argument` for what no table can be made from, and for what no kernel can be given."""
        base = require_positive("base", self.base)
        rope = Rope(base, self.rotary_dim, self.factor, self.low, self.high)
        require_positive("attention_factor", self.attention_factor)
        require_float32("eps", self.eps)
        require_float32("attention_factor", self.attention_factor)
        return rope


def read_numbers(
    num_heads_q: Any,
    num_heads_k: Any,
    num_heads_v: Any,
    head_dim: Any,
    eps: Any,
    base: Any,
    is_neox: Any,
    factor: Any,
    low: Any,
    high: Any,
    attention_factor: Any,
    rotary_dim: Any,
) -> Numbers:
    """Checks what can be told of the numbers alone. Raises `invalid-argument`."""
    ramp = {"factor": factor, "low": low, "high": high, "attention_factor": attention_factor}
    numbers: dict[str, Any] = {name: require_number(name, value) for name, value in ramp.items()}
    counts = {"num_heads_q": num_heads_q, "num_heads_k": num_heads_k, "num_heads_v": num_heads_v}
    numbers |= {name: require_count(name, value) for name, value in counts.items()}
    if not isinstance(is_neox, bool):
        raise invalid_argument("is_neox", is_neox, "True or False")
    head_dim = as_int(head_dim)
    rotary_dim = head_dim if rotary_dim is None else as_int(rotary_dim)
    numbers |= {"head_dim": head_dim, "eps": eps, "base": base, "is_neox": is_neox, "rotary_dim": rotary_dim}
    return Numbers(**numbers)


def require_sizes(numbers: Numbers, qkv: Memory, q_weight: Memory, k_weight: Memory, position_ids: Memory) -> int:
    """That the memories fit each other; gives the number of tokens. Raises `invalid-argument`."""
    if len(position_ids.shape) != 1:
        what = f"a {position_ids.kind} of shape {list(position_ids.shape)}"
        raise unfit_argument("position_ids", what, "[num_tokens]: mRoPE, with several rows, is not this op")
    tokens, row = position_ids.shape[0], numbers.row
    shape = f"{tokens} tokens of {numbers.heads}"
    if len(qkv.shape) == 1 and qkv.kind == "buffer":
        if qkv.shape[0] != tokens * row:
            raise unfit_argument("qkv", qkv.described, f"{tokens * row} long: {shape}")
    elif qkv.shape != (tokens, row):
        raise unfit_argument("qkv", qkv.described, f"[{tokens}, {row}]: {shape}")
    require_rows(numbers, qkv, tokens)
    for name, weight in (("q_weight", q_weight), ("k_weight", k_weight)):
        if weight.dtype != qkv.dtype:
            raise unfit_argument(name, f"a {weight.kind} of {weight.dtype}", qkv.dtype)
        if weight.shape != (numbers.head_dim,):
            raise unfit_argument(name, weight.described, f"{numbers.head_dim} long, as a head is")
    if position_ids.dtype not in POSITION_BITS:
        what = f"a {position_ids.kind} of {position_ids.dtype}"
        raise unfit_argument("position_ids", what, "int32 or int64")
    for name, memory in (("q_weight", q_weight), ("k_weight", k_weight), ("position_ids", position_ids)):
        if memory.device != qkv.device:
            raise unfit_argument(name, f"on {memory.device}", f"where qkv is, on {qkv.device}")
        if not memory.is_contiguous:
            raise unfit_argument(name, f"a {memory.kind} with a stride of {memory.strides[-1]}", "contiguous")
        if tokens > 0 and qkv.address < memory.end and memory.address < qkv.end:
            raise unfit_argument(name, "in the memory of qkv, which is written", "elsewhere")
    return tokens


def require_rows(numbers: Numbers, qkv: Memory, tokens: int) -> None:
    """That heads are contiguous and rows apart, v's part included: of v the C library knows nothing."""
    if tokens == 0 or numbers.row == 0:
        return
    if qkv.strides[-1] != 1 and numbers.head_dim > 1:
        what = f"a {qkv.kind} with a stride of {qkv.strides[-1]} between elements"
        raise unfit_argument("qkv", what, "one in which a head is contiguous")
    if len(qkv.shape) == 2 and tokens > 1 and qkv.strides[0] < numbers.row:
        what = f"a {qkv.kind} with a stride of {qkv.strides[0]} between rows of {numbers.row} elements"
        raise unfit_argument("qkv", what, "one in which rows do not overlap")


def pack(numbers: Numbers, qkv: Memory, q_weight: Memory, k_weight: Memory, position_ids: Memory, table: Table) -> Args:
    """The arguments of a checked call."""
    args = Args()
    args.struct_size = ctypes.sizeof(Args)
    head_dim = numbers.head_dim
    stride = qkv.strides[0] if len(qkv.shape) == 2 else numbers.row
    element_bytes = 2
    for side, first, count, weight in (
        (args.q, 0, numbers.num_heads_q, q_weight),
        (args.k, numbers.num_heads_q, numbers.num_heads_k, k_weight),
    ):
        _pack_heads(side, qkv.address + first * head_dim * element_bytes, stride, head_dim, count, weight.address)
    args.positions = position_ids.address
    args.rope_table = table.address
    args.num_tokens = position_ids.shape[0]
    args.position_bits = POSITION_BITS[position_ids.dtype]
    args.eps = numbers.eps
    args.attention_factor = numbers.attention_factor
    return args


def caller_field(field: str) -> str:
    """What the caller calls a field of `normrope_args`."""
    side, _, name = field.partition(".")
    if name.endswith("token_stride"):
        return "the stride between rows of qkv"
    if name:
        return f"{side}_weight" if name.startswith("weight") else "qkv"
    return {"positions": "position_ids", "rope_table": "the RoPE table"}.get(field, field)


def _pack_heads(side: Heads, address: int, stride: int, head_dim: int, count: int, weight: int) -> None:
    side.in_ = side.out = address
    side.in_token_stride = side.out_token_stride = stride
    side.in_head_stride = side.out_head_stride = head_dim
    side.weight = weight
    side.num_heads = count
