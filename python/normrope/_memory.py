"""Where a call's tensors or buffers lie.

In: what their owner says of them. Out: shapes and strides, and those that q, k and what is written have once their
dimensions are in order. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .errors import invalid_argument, unfit_argument


@dataclass(frozen=True)
class Memory:
    """What an argument names, as the checks see it."""

    #: `buffer` or `tensor`.
    kind: str
    #: `bf16`, `f16`, `int32`, `int64`, `uint64`, or what its owner calls it.
    dtype: str
    shape: tuple[int, ...]
    #: In elements.
    strides: tuple[int, ...]
    #: Which of the addresses of a call it is from, and how many elements behind it.
    source: int
    offset: int = 0
    #: Where it lies, such as `cuda:0`.
    device: str = "cpu"
    is_read_only: bool = False

    @property
    def described(self) -> str:
        if self.kind == "buffer" and len(self.shape) == 1:
            return f"a buffer of {self.shape[0]} elements"
        return f"a {self.kind} of shape {list(self.shape)}"

    def permuted(self, order: Sequence[int]) -> Memory:
        return replace(self, shape=tuple(self.shape[i] for i in order), strides=tuple(self.strides[i] for i in order))

    def split(self, dimension: int, inner: int) -> Memory:
        """With a dimension taken apart, as rows are into heads."""
        size, stride = self.shape[dimension], self.strides[dimension]
        shape = (*self.shape[:dimension], size // inner, inner, *self.shape[dimension + 1 :])
        strides = (*self.strides[:dimension], stride * inner, stride, *self.strides[dimension + 1 :])
        return replace(self, shape=shape, strides=strides)

    def narrowed(self, dimension: int, start: int, count: int) -> Memory:
        shape = (*self.shape[:dimension], count, *self.shape[dimension + 1 :])
        return replace(self, shape=shape, offset=self.offset + start * self.strides[dimension])


@dataclass(frozen=True)
class Layout:
    """Where the dimensions of heads are in q, k and what is written."""

    #: The dimension of the heads: -2 of `[…, tokens, heads, dim]`, -3 of `[…, heads, tokens, dim]`.
    heads_dim: int = -2
    #: Elements of a head; of rows, in which heads lie side by side, it must be told.
    head_dim: int | None = None

    def of(self, name: str, memory: Memory) -> Memory:
        """`[tokens, heads, dim]`, or `[batch, tokens, heads, dim]`."""
        rank = len(memory.shape)
        if rank > 0 and self._is_rows(memory):
            if self.head_dim is None:
                raise unfit_argument(name, memory.described, "of rank 3 or 4, or come with head_dim")
            if memory.shape[-1] % self.head_dim != 0:
                raise unfit_argument(name, memory.described, f"rows of heads of {self.head_dim}")
            memory = memory.split(rank - 1, self.head_dim)
        elif rank in (3, 4):
            if not isinstance(self.heads_dim, int) or not -rank <= self.heads_dim < rank - 1 or self.heads_dim == -1:
                raise invalid_argument("heads_dim", self.heads_dim, "-2, or -3 where the heads come before the tokens")
            heads = self.heads_dim % rank
            others = [dimension for dimension in range(rank - 1) if dimension != heads]
            memory = memory.permuted([*others, heads, rank - 1])
        if len(memory.shape) in (3, 4):
            return memory
        raise unfit_argument(name, memory.described, "of rank 3 or 4, or rows of rank 2 or 3")

    def _is_rows(self, memory: Memory) -> bool:
        is_whole = self.head_dim is not None and memory.shape[-1] != self.head_dim
        return len(memory.shape) < 3 or (is_whole and len(memory.shape) == 3)
