"""Points of the config space: what a kernel is specialised for, how it is called, and which can be made.

In: head_dim, rotary_dim, style and dtype as a caller gave them. Out: a point, a kernel id, or the reason why there can
be no such kernel, in the words of runtime/support.ts. Pure.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .errors import quoted, show

#: The op that this package is of, as a manifest spells it: tests compare it with the compiler's.
OP: dict[str, Any] = {
    "name": "qk_norm_rope",
    "axes": [
        {"kind": "integer", "name": "headDim", "step": 8, "min": 16, "max": 1024},
        {"kind": "integer", "name": "rotaryDim", "step": 2, "min": 2, "max": "headDim", "default": "headDim"},
        {"kind": "enum", "name": "rope", "values": ["neox", "interleaved"]},
        {"kind": "enum", "name": "dtype", "values": ["bf16", "f16"]},
    ],
    "stages": [
        {
            "name": "rmsNorm",
            "args": {"weight": {"kind": "input", "name": "weight"}, "eps": {"kind": "input", "name": "eps"}},
        },
        {
            "name": "rotate",
            "args": {
                "angle": {"kind": "input", "name": "angle"},
                "pairs": {"kind": "axis", "axis": "rope"},
                "dim": {"kind": "axis", "axis": "rotaryDim"},
            },
        },
    ],
}

_AXES: dict[str, dict[str, Any]] = {axis["name"]: axis for axis in OP["axes"]}
_DTYPES = {"bf16": "bf16", "bfloat16": "bf16", "f16": "f16", "float16": "f16", "half": "f16"}


@dataclass(frozen=True)
class Point:
    """What a kernel is specialised for. The values are what a caller gave: `impossible` says if there can be such."""

    head_dim: int
    rotary_dim: int
    rope: str
    dtype: str

    @property
    def kernel_id(self) -> str:
        return f"{OP['name']}__{self.dtype}_d{self.head_dim}_r{self.rotary_dim}_{self.rope}"

    @property
    def values(self) -> dict[str, Any]:
        """By the names that a config and a manifest have for them."""
        return {
            "headDim": self.head_dim,
            "rotaryDim": self.rotary_dim,
            "rope": self.rope,
            "dtype": self.dtype,
        }

    def __str__(self) -> str:
        return ", ".join(f"{name} {_spelled(value)}" for name, value in self.values.items())

    @property
    def impossible(self) -> str | None:
        """Why no config can have the point; None where one can."""
        for name, value in self.values.items():
            if not _is_in_range(name, value):
                return f"{name} is {show(value)}, and must be {_describe_range(name)}"
        if self.rotary_dim > self.head_dim:
            return f"a head of {self.head_dim} elements has no {self.rotary_dim} to rotate"
        return None

    @property
    def config_line(self) -> str:
        """The entry of a config that makes the kernel."""
        entry = ", ".join(f"{name}: [{show(value)}]" for name, value in self._written.items() if value is not None)
        return f"{{ {entry} }}"

    def how_to_add(self, held: Iterable[Point] = ()) -> str:
        """The command that adds the kernel to a config with the points `held`, where one value does; and the entry."""
        differing = [[name for name, value in self._written.items() if point._written[name] != value] for point in held]
        only = next((names[0] for names in differing if len(names) == 1), None)
        if only is not None:
            add = f"Run `normrope add {only} {self.values[only]}`, or add the entry"
            return f"{add} {self.config_line} to normrope.config.ts, and run `normrope build`"
        return (
            f"Add the entry {self.config_line} to normrope.config.ts, making a list of it where it is one object, and "
            "run `normrope build`"
        )

    @property
    def _written(self) -> dict[str, Any]:
        """What an entry says of each axis: nothing of one that is at its default."""
        return self.values | {"rotaryDim": None if self.rotary_dim == self.head_dim else self.rotary_dim}


def point_of(head_dim: Any, rotary_dim: Any, is_neox: bool, dtype: object) -> Point:
    """`rotary_dim` is `head_dim` where it is None."""
    head = as_int(head_dim)
    rotary = head if rotary_dim is None else as_int(rotary_dim)
    return Point(head, rotary, "neox" if is_neox else "interleaved", dtype_name(dtype))


def dtype_name(dtype: object) -> str:
    """`bf16` or `f16` for a dtype of torch or numpy or a text; of any other its own name."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype)
    return _DTYPES.get(str(name).removeprefix("torch."), str(name))


def as_int(value: Any) -> Any:
    """An integer of another type, such as numpy's, as int; anything else as it is."""
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else value


def _is_in_range(name: str, value: object) -> bool:
    axis = _AXES[name]
    if axis["kind"] == "enum":
        return value in axis["values"]
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return bool(value % axis["step"] == 0 and axis["min"] <= value <= _max_of(axis))


def _describe_range(name: str) -> str:
    axis = _AXES[name]
    if axis["kind"] == "enum":
        return f"one of {', '.join(show(value) for value in axis['values'])}"
    bound = axis["max"] if isinstance(axis["max"], int) else f"{axis['max']} (at most {_max_of(axis)})"
    return f"a multiple of {axis['step']} from {axis['min']} to {bound}"


def _max_of(axis: dict[str, Any]) -> int:
    return axis["max"] if isinstance(axis["max"], int) else _max_of(_AXES[axis["max"]])


def _spelled(value: object) -> str:
    """Names of a point's values are not in quotes where that is plain enough."""
    plain = isinstance(value, str) and value == quoted(value) and len(value) < 50
    return str(value) if plain else show(value)
