"""How large the dimensions of a call are, and whether a tensor has them.

In: sizes, and tensors as the caller gives them. Out: the same tensors with all dimensions that the table of inputs has
for them, or a typed error that names the shape. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ._inputs import TensorInput
from ._memory import Memory
from .errors import unfit_argument

#: Raises the error unless the condition holds, now or once a symbol of a trace is known.
Require = Callable[[Any, Callable[[], Exception]], None]


class Dimension(NamedTuple):
    """A dimension of a tensor as callers see it."""

    name: str
    size: int
    #: The table's dimension that it is a part of: a batch is a part of the tokens.
    part_of: str


@dataclass(frozen=True)
class Sizes:
    """How large the dimensions of a call are."""

    #: `[tokens]` or `[batch, tokens]`, by the first side that is given.
    tokens: tuple[int, ...]
    head_dim: int
    #: By side.
    num_heads: dict[str, int]
    #: Elements of a head that rotate, by the table or the cosines; 0 if neither is given.
    rotary_dim: int
    #: Positions of a token.
    position_axes: int = 1
    #: Rows of cosines by position; None if they are those of the tokens.
    rows: int | None = None
    #: Slots of a block, in the caches of all sides; 1 if slots lie in no blocks.
    block_size: int = 1
    #: Of the cache of each side that has one.
    blocks: Mapping[str, int] = field(default_factory=dict)

    @property
    def rotary_pairs(self) -> int:
        return self.rotary_dim // 2

    def of(self, tensor: TensorInput) -> list[Dimension]:
        """A tensor's dimensions. One position of a token has no dimension of its own."""
        return [own for dimension in tensor.shape for own in self._parts(dimension, tensor)]

    def tokens_of(self, tensor: TensorInput) -> str:
        """The table's dimension that stands for the tokens; empty if there is none."""
        over = {"num_tokens", "rows"} if self.rows is None else {"num_tokens"}
        return next((dimension for dimension in tensor.shape if dimension in over), "")

    def _parts(self, dimension: str, tensor: TensorInput) -> list[Dimension]:
        if dimension == self.tokens_of(tensor):
            names = ("batch", "num_tokens")[-len(self.tokens) :]
            return [Dimension(name, size, dimension) for name, size in zip(names, self.tokens, strict=True)]
        if dimension == "position_axes" and self.position_axes == 1:
            return []
        size = {
            "num_heads": self.num_heads.get(tensor.side, 0),
            "head_dim": self.head_dim,
            "rotary_dim": self.rotary_dim,
            "rotary_dim / 2": self.rotary_pairs,
            "position_axes": self.position_axes,
            "rows": self.rows or 0,
            "blocks": self.blocks.get(tensor.side, 0),
            "block_size": self.block_size,
        }[dimension]
        return [Dimension(dimension, size, dimension)]


def expanded(tensor: TensorInput, memory: Memory, sizes: Sizes, require: Require) -> Memory:
    """Adds a stride of 0 over a dimension that may be left out: heads that share a weight or a scale, sequences that
    share positions or cosines, and blocks of one slot."""
    dimensions = sizes.of(tensor)
    at = _may_lack(tensor, dimensions)

    def unfit() -> Exception:
        allowed = [dimensions] if at is None else [dimensions[:at] + dimensions[at + 1 :], dimensions]
        shapes = " or ".join(str([dimension.size for dimension in own]) for own in allowed)
        named = " or ".join(f"[{', '.join(dimension.name for dimension in own)}]" for own in allowed)
        return unfit_argument(tensor.name, memory.described, f"{shapes}: {named}{_hint(tensor, sizes)}")

    shape, strides = list(memory.shape), list(memory.strides)
    if at is not None and len(shape) == len(dimensions) - 1:
        shape.insert(at, dimensions[at].size)
        strides.insert(at, 0)
    if len(shape) != len(dimensions):
        raise unfit()
    for i, dimension in enumerate(dimensions):
        # One sequence stands for all, and one scale, as in torch.
        if i == at and (dimension.name == "batch" or len(dimensions) == 1) and shape[i] == 1:
            shape[i], strides[i] = dimension.size, 0
        else:
            require(shape[i] == dimension.size, unfit)
    return replace(memory, shape=tuple(shape), strides=tuple(strides))


def _may_lack(tensor: TensorInput, dimensions: list[Dimension]) -> int | None:
    """The index of a dimension that may be left out."""
    names = [dimension.name for dimension in dimensions]
    if tensor.is_cache:
        return names.index("block_size") if dimensions[1].size == 1 else None
    if tensor.is_heads or tensor.field == "slots":  # two tokens of one slot would be written over each other
        return None
    if "batch" in names:
        return names.index("batch")
    return 0 if names[0] == "num_heads" and "num_heads" in tensor.strides else None


def _hint(tensor: TensorInput, sizes: Sizes) -> str:
    """What makes other shapes of a tensor fit."""
    if tensor.field.endswith("_scale"):
        return "; [1] is one for all heads"
    if "rows" in tensor.shape and sizes.rows is None:
        return "; rows in another order need positions"
    if "position_axes" not in tensor.shape:
        return ""
    if sizes.position_axes == 1:
        return "; several positions of a token need pair_axes"
    return ", as pair_axes is given"
