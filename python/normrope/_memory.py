"""Where a call's tensors or buffers lie.

In: what their owner says of them. Out: shapes and strides, with the dimensions of heads in order. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import invalid_argument, unfit_argument


@dataclass(frozen=True)
class Memory:
    """The memory of an argument, as the checks see it."""

    #: `buffer` or `tensor`.
    kind: str
    #: `bf16`, `f16`, `e4m3`, `float32`, `int32`, `int64`, `uint8`, `uint64`, or what its owner calls it.
    dtype: str
    shape: tuple[int, ...]
    #: In elements.
    strides: tuple[int, ...]
    #: Which of the caller's addresses it begins at, and how many elements behind that.
    source: int
    offset: int = 0
    #: Such as `cuda:0`.
    device: str = "cpu"
    is_read_only: bool = False

    @property
    def described(self) -> str:
        if self.kind == "buffer" and len(self.shape) == 1:
            return f"a buffer of {self.shape[0]} elements"
        return f"a {self.kind} of shape {list(self.shape)}"

    def permuted(self, order: Sequence[int]) -> Memory:
        return replace(self, shape=tuple(self.shape[i] for i in order), strides=tuple(self.strides[i] for i in order))

    def split(self, head_dim: int) -> Memory:
        """Rows as heads: the last dimension is taken apart."""
        *sizes, row = self.shape
        *strides, stride = self.strides
        shape = (*sizes, row // head_dim, head_dim)
        return replace(self, shape=shape, strides=(*strides, stride * head_dim, stride))

    def columns(self, start: int, count: int) -> Memory:
        """A part of the last dimension."""
        return replace(self, shape=(*self.shape[:-1], count), offset=self.offset + start * self.strides[-1])


@dataclass(frozen=True)
class Layout:
    """How heads lie in what is read and written."""

    #: The dimension of the heads: -2 for `[…, tokens, heads, dim]`, -3 for `[…, heads, tokens, dim]`.
    heads_dim: int = -2
    #: Elements of a head, if heads lie side by side in rows.
    head_dim: int | None = None

    def __post_init__(self) -> None:
        if self.head_dim is not None and (type(self.head_dim) is not int or self.head_dim < 1):
            raise invalid_argument("head_dim", self.head_dim, "a positive whole number, or left out")

    def of(self, name: str, memory: Memory) -> Memory:
        """`[tokens, heads, dim]`, or `[batch, tokens, heads, dim]`."""
        rank = len(memory.shape)
        if self.head_dim is not None:
            if rank not in (2, 3) or memory.shape[-1] % self.head_dim != 0:
                row = f"heads * {self.head_dim}]"
                want = f"[tokens, {row} or [batch, tokens, {row}, as head_dim is given"
                raise unfit_argument(name, memory.described, want)
            return memory.split(self.head_dim)
        if rank not in (3, 4):
            raise unfit_argument(name, memory.described, "of rank 3 or 4, or rows with head_dim")
        if type(self.heads_dim) is not int or not -rank <= self.heads_dim < rank - 1 or self.heads_dim == -1:
            raise invalid_argument("heads_dim", self.heads_dim, "-2, or -3 where the heads come before the tokens")
        heads = self.heads_dim % rank
        others = [dimension for dimension in range(rank - 1) if dimension != heads]
        return memory.permuted([*others, heads, rank - 1])
