"""The inputs of calls, by the names that Python has for them.

In: inputs.json, which `npm run compile` writes: the tables of the C structs' fields and of the axes. Out: every axis,
and every tensor and number that a kernel may take, with its shape and its fields. Other modules spell the name of an
input only to do something with that one alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Fields of the structs in order: those of a side, and those of the arguments before and behind the sides.
TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("inputs.json").read_text(encoding="utf8"))

SIDES: tuple[str, ...] = tuple(TABLE["sides"])

#: The rows of the table of axes in order, whether or not an op has them.
AXES: tuple[dict[str, Any], ...] = tuple(TABLE["axes"])

#: Bytes of an element, by its dtype.
ELEMENT_BYTES = {"uint8": 1, "e4m3": 1, "bf16": 2, "f16": 2, "int32": 4, "float32": 4, "int64": 8, "uint64": 8}


@dataclass(frozen=True)
class TensorInput:
    """A tensor of a call."""

    #: The argument: `q`, `q_out`, `q_weight`, `positions`.
    name: str
    #: `q`, `k` or `v`; empty for a tensor of the whole call.
    side: str
    #: The field of the struct, such as `in`.
    field: str
    #: Names of the dimensions' sizes, such as `num_tokens`.
    shape: tuple[str, ...]
    #: The field for the stride of a dimension. Elements of other dimensions lie side by side.
    strides: dict[str, str]
    #: `kernel`, `index`, or a dtype of its own: `uint8`, `uint64`, `float32`.
    dtype: str
    #: The field for the bits of an index; empty for others.
    bits: str
    #: Whether a kernel writes to it.
    is_written: bool

    @property
    def path(self) -> str:
        """The field of `normrope_args`, as a manifest spells it: `q.weight`."""
        return f"{self.side}.{self.field}" if self.side else self.field

    @property
    def length(self) -> str:
        """The field for the number of its elements."""
        return f"{self.field}_length"

    @property
    def is_output(self) -> bool:
        """Whether the results of a side go there."""
        return self.field == "out"

    @property
    def is_of_output(self) -> bool:
        """Whether a call in place lacks it."""
        return self.field.startswith("out")

    @property
    def is_cache(self) -> bool:
        return "blocks" in self.shape

    @property
    def is_heads(self) -> bool:
        """Whether these are heads of a side, given or written."""
        return self.shape == ("num_tokens", "num_heads", "head_dim")


def _may_be_read(side: str, field: str) -> bool:
    """Whether some stage that can be applied to a side reads a field. The heads themselves are no stage's."""
    stages = [stage for stage in TABLE["stages"].values() if any(own["name"] == field for own in stage["inputs"])]
    return not stages or any(side in stage.get("sides", SIDES) for stage in stages)


def _tensors(side: str, fields: list[dict[str, Any]]) -> list[TensorInput]:
    return [
        TensorInput(
            name=f"{side}_{field['name']}".strip("_").removesuffix("_in"),
            side=side,
            field=field["name"],
            shape=tuple(tensor["shape"]),
            strides=tensor["strides"],
            dtype=tensor["dtype"],
            bits=tensor.get("bits", ""),
            is_written=not field["type"].startswith("const"),
        )
        for field in fields
        if (tensor := field.get("tensor")) is not None and (side == "" or _may_be_read(side, field["name"]))
    ]


#: Those of each side, then those of the whole call. The table of angles, which may be no memory, is last.
TENSORS: tuple[TensorInput, ...] = tuple(
    tensor
    for side, fields in (*((side, TABLE["heads"]) for side in SIDES), ("", TABLE["behind"]))
    for tensor in sorted(_tensors(side, fields), key=lambda tensor: tensor.field == "rope_table")
)

#: Names of the numbers, which are float32 in C.
NUMBERS: tuple[str, ...] = tuple(field["name"] for field in TABLE["behind"] if field["type"] == "float")


def caller_field(field: str) -> str:
    """The caller's name for a field of `normrope_args`, such as `k.in_token_stride`."""
    if field == "block_size":
        return "the block size of the caches"
    side, _, name = field.rpartition(".")
    for tensor in TENSORS:
        if tensor.side != side:
            continue
        if name == tensor.field:
            return tensor.name
        for dimension, stride in tensor.strides.items():
            if name == stride:
                return f"the stride of {tensor.name} over {dimension}"
        if name == tensor.length:
            return f"the length of {tensor.name}"
    return field
