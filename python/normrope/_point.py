"""Points of the config space: what a kernel is specialised for, how it is named, and which can be made.

In: an op, and values of its axes as a caller gave them. Out: a point, a kernel id, or the reason why there can be no
such kernel, in the words of runtime/support.ts. Pure.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._op_rules import SHIPPED, Axis, OpRules
from ._stages import Taken, has_meaning, is_in_range, rejection, taken_at
from .errors import invalid_argument, quoted, show

_DTYPE: Axis = next(axis for axis in SHIPPED.axes if axis["name"] == "dtype")
_OUT: Axis = next(axis for axis in SHIPPED.axes if axis["name"] == "out")
#: The dtypes that kernels are made for.
DTYPES: tuple[str, ...] = tuple(_DTYPE["values"])
#: What torch and numpy call the values of the axis.
_ALIASES: dict[str, str] = _DTYPE["aliases"]


@dataclass(frozen=True)
class Point:
    """What a kernel is specialised for. Its values are the caller's; `impossible` says whether they can be."""

    op: OpRules
    #: Name and value of each axis, in the table's order. An axis that means nothing there is left out.
    items: tuple[tuple[str, Any], ...]

    @property
    def values(self) -> dict[str, Any]:
        """The same, by name."""
        return dict(self.items)

    @property
    def kernel_id(self) -> str:
        """The id of a kernel of the op that ships. Ids of other ops have a digest, which only manifests know."""
        leaders_first = sorted(self.op.axes, key=lambda axis: not axis.get("leads", False))
        values = self.values
        spelled = [(axis, values[axis["name"]]) for axis in leaders_first if axis["name"] in values]
        tags = [_tag(axis, value) for axis, value in spelled if value != axis.get("default")]
        return f"{self.op.name}__{'_'.join(tags)}"

    def __str__(self) -> str:
        defaults = {axis["name"]: axis.get("default") for axis in self.op.axes}
        # A default says nothing, and there are many.
        said = [(name, value) for name, value in self.items if value != defaults.get(name)]
        return ", ".join(f"{name} {_spelled(value)}" for name, value in said)

    @property
    def impossible(self) -> str | None:
        """Why no config can have the point; None if one can."""
        values = self.values
        for axis in self.op.axes:
            name = axis["name"]
            value = values.get(name)
            if _is_outside(axis, values):
                alias = _alias_of(axis, value)
                meant = "" if alias is None else f"; did you mean {show(alias)}?"
                return f"{name} is {show(value)}, and must be {_describe_range(axis)}{meant}"
        reasons = [_rejection(axis, values) for axis in self.op.axes]
        for axis, fixed in self.op.fixed:
            if has_meaning(axis, {**values, **fixed}):
                always = {name: part for name, part in axis.items() if name != "when"}
                reasons.append(_rejection(always, {**values, axis["name"]: fixed[axis["name"]]}))
        return next(filter(None, reasons), None) or rejection(self.op.stages, values)

    @property
    def taken(self) -> Taken | None:
        """What its kernel takes; None if this package does not know the op's stages. The values must be possible."""
        return taken_at(self.op.stages, self.values)

    @property
    def missing(self) -> tuple[str, str] | None:
        """The argument of an axis that must be given and is not, and what it must be; None if nothing is missing."""
        for argument, axis in self.op.arguments.items():
            if axis["name"] not in self.values and has_meaning(axis, self.values):
                return argument, _describe_range(axis)
        return None

    @property
    def how_to_add(self) -> str:
        """How to make a library hold the kernel. The config's entry leaves out axes at their default."""
        values = self.values
        spelled = [
            f"{axis['name']}: [{show(values[axis['name']])}]"
            for axis in self.op.axes
            if axis["name"] in values and values[axis["name"]] != _default(axis, values)
        ]
        where = "normrope.config.ts" if self.op.is_shipped else f"the space of {self.op.name} in normrope.config.ts"
        where += ", making a list of it where it is one object,"
        return f"Add the entry {{ {', '.join(spelled)} }} to {where} and run `normrope build`"


def complete(values: Mapping[str, Any], op: OpRules = SHIPPED, implied: Mapping[str, Any] | None = None) -> Point:
    """The op's point with the values, and defaults for axes that are left out or None. `implied` are values that tell
    nothing where they mean nothing."""
    implied = implied or {}
    point: dict[str, Any] = {}
    for axis in op.axes:
        name = axis["name"]
        value = implied[name] if name in implied and has_meaning(axis, point) else values.get(name)
        value = _default(axis, point) if value is None else value
        if value is not None or (name in values and has_meaning(axis, point)):
            point[name] = value
    return Point(op, tuple(point.items()))


def rope_of(is_neox: Any) -> str:
    """The value of the axis `rope`."""
    if not isinstance(is_neox, bool):
        raise invalid_argument("is_neox", is_neox, "True or False")
    return "neox" if is_neox else "interleaved"


def point_of(
    head_dim: Any, rotary_dim: Any, is_neox: bool, dtype: object, axes: Mapping[str, Any] | None = None
) -> Point:
    """The point of the op that ships, from arguments. A `rotary_dim` of None is `head_dim`; 0: nothing rotates.
    `axes` are the values of others, by the names of the table."""
    rotary_dim = None if rotary_dim is None else as_int(rotary_dim)
    own = {"headDim": as_int(head_dim), "rotaryDim": rotary_dim, "dtype": dtype_name(dtype)}
    rope = rope_of(is_neox)
    return complete({**(axes or {}), **own, **({} if rotary_dim == 0 else {"rope": rope})})


def dtype_name(dtype: object) -> str:
    """`bf16` or `f16` for such a dtype of torch or numpy, or its name; else the dtype's own name."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None) or str(dtype)
    return _ALIASES.get(str(name).removeprefix("torch."), str(name))


def out_dtype_name(dtype: object, own: str) -> str:
    """The same for the argument `out_dtype`, which is that of the heads, `own`, or another one that kernels write.

    Raises `invalid-argument`.
    """
    name = dtype_name(dtype)
    name = _alias_of(_OUT, name) or name
    wanted = (own, *(value for value in _OUT["values"] if value != _OUT["default"]))
    if name in wanted:
        return name
    said = dtype if isinstance(dtype, numbers.Real) else name
    raise invalid_argument("out_dtype", said, " or ".join(show(each) for each in wanted))


def as_int(value: Any) -> Any:
    """An integer of another type, such as numpy's, as int; anything else unchanged."""
    return int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else value


def _tag(axis: Axis, value: Any) -> str:
    """How an id spells a value."""
    tags: dict[str, str] = axis.get("tags", {})
    return f"{axis['tag']}{value}" if axis["kind"] == "integer" else str(tags.get(value, value))


def _rejection(axis: Axis, values: Mapping[str, Any]) -> str | None:
    """Why a value that is possible by itself does not go with the others."""
    name, bound = axis["name"], values.get(axis.get("within", ""))
    if name not in values:
        return None
    if not has_meaning(axis, values):
        return f"{name} means nothing where {' and '.join(f'{on} is {values.get(on)}' for on in axis['when'])}"
    if bound is not None and values[name] > bound:
        return f"{name} {values[name]} is more than {axis['within']} {bound}"
    return None


def _default(axis: Axis, values: Mapping[str, Any]) -> Any:
    """The value of an axis that is left out; None if it cannot be left out."""
    if not has_meaning(axis, values):
        return None
    return values.get(axis["follows"]) if "follows" in axis else axis.get("default")


def _is_outside(axis: Axis, values: Mapping[str, Any]) -> bool:
    """Whether the axis cannot have its value, or lacks one and means something."""
    if axis["name"] not in values:
        return has_meaning(axis, values)
    return not is_in_range(axis, values[axis["name"]])


def _alias_of(axis: Axis, value: object) -> str | None:
    """The axis's own name for an alias; None if it knows none."""
    if axis["kind"] != "enum" or not isinstance(value, str):
        return None
    word = re.sub("[-_]", "", value.lower().removeprefix("torch."))
    name: str | None = axis.get("aliases", {}).get(word)
    return name if name in axis["values"] else None


def _describe_range(axis: Axis) -> str:
    if axis["kind"] == "enum":
        return f"one of {', '.join(show(value) for value in axis['values'])}"
    bound = f"{axis['within']} (at most {axis['max']})" if "within" in axis else axis["max"]
    numbers = "whole number" if axis["step"] == 1 else f"multiple of {axis['step']}"
    return f"a {numbers} from {axis['min']} to {bound}"


def _spelled(value: object) -> str:
    """A value without quotes, if it is a short printable text."""
    plain = isinstance(value, str) and value == quoted(value) and len(value) < 50
    return str(value) if plain else show(value)
