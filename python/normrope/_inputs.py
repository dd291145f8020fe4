"""What a call passes, by the names that Python has for it.

In: inputs.json, which `npm run compile` writes: the tables of the C structs' fields and of the axes. Out: every tensor
and number that a kernel may take: what its shape is, and in which fields it goes; and every axis. No name of an input
is spelled elsewhere but where something is done with that one alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Fields of the structs, in their order: of a side, and of the arguments before the sides and behind them.
TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("inputs.json").read_text(encoding="utf8"))

SIDES: tuple[str, ...] = tuple(TABLE["sides"])

#: The rows of the table of axes, in its order, whether or not an op has them.
AXES: tuple[dict[str, Any], ...] = tuple(TABLE["axes"])

#: Bytes of an element, by its dtype.
ELEMENT_BYTES = {"bf16": 2, "f16": 2, "int32": 4, "float32": 4, "int64": 8, "uint64": 8}


@dataclass(frozen=True)
class TensorInput:
    """A tensor of a call."""

    #: As the caller says it: `q`, `q_out`, `q_weight`, `positions`.
    name: str
    #: `q`, `k` or `v`; empty for those of the whole call.
    side: str
    #: Of the struct.
    field: str
    #: Names of the dimensions' sizes, such as `num_tokens`.
    shape: tuple[str, ...]
    #: The field for the stride of a dimension. Elements of other dimensions lie side by side.
    strides: dict[str, str]
    #: `kernel`, `position`, or a dtype of its own: `uint64`, `float32`.
    dtype: str

    @property
    def path(self) -> str:
        """Its field of `normrope_args`, as a manifest spells it: `q.weight`."""
        return f"{self.side}.{self.field}" if self.side else self.field

    @property
    def is_written(self) -> bool:
        return self.field == "out"

    @property
    def is_heads(self) -> bool:
        """Whether these are the heads of a side."""
        return self.shape == ("num_tokens", "num_heads", "head_dim")


def _tensors(side: str, fields: list[dict[str, Any]]) -> list[TensorInput]:
    return [
        TensorInput(
            name=_name_of(side, field["name"]),
            side=side,
            field=field["name"],
            shape=tuple(tensor["shape"]),
            strides=tensor["strides"],
            dtype=tensor["dtype"],
        )
        for field in fields
        if (tensor := field.get("tensor")) is not None
    ]


def _name_of(side: str, field: str) -> str:
    if side == "":
        return field
    return side if field == "in" else f"{side}_{field}"


#: Of each side, and of the whole call; the table of angles last, which may be no memory.
TENSORS: tuple[TensorInput, ...] = tuple(
    tensor
    for side, fields in (*((side, TABLE["heads"]) for side in SIDES), ("", TABLE["behind"]))
    for tensor in sorted(_tensors(side, fields), key=lambda tensor: tensor.field == "rope_table")
)

#: Names of numbers, as C's float32.
NUMBERS: tuple[str, ...] = tuple(field["name"] for field in TABLE["behind"] if field["type"] == "float")


def caller_field(field: str) -> str:
    """What the caller calls a field of `normrope_args`, such as `k.in_token_stride`."""
    side, _, name = field.rpartition(".")
    for tensor in TENSORS:
        if tensor.side != side:
            continue
        if name == tensor.field:
            return tensor.name
        for dimension, stride in tensor.strides.items():
            if name == stride:
                return f"the stride of {tensor.name} over {dimension}"
        if name == f"{tensor.field}_length":
            return f"the length of {tensor.name}"
    return field
