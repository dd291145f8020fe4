"""What an op's stages are at a point: which rules their values break, which sides they work on, and what they read.

In: stages by side, and values of a point. Out: the same answers as dsl/sides.ts and dsl/legality.ts, from the same
table, which `npm run compile` writes to inputs.json. A stage that the table lacks has no rules and reads nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ._inputs import AXES, TABLE

#: A stage's name, and the axes that its arguments fix.
Stage = tuple[str, tuple[tuple[str, Any], ...]]
#: For each side that has any, in the order of application.
SideStages = tuple[tuple[str, tuple[Stage, ...]], ...]
Values = Mapping[str, Any]
#: A range for each of some axes.
Condition = Mapping[str, Mapping[str, Any]]

_STAGES: dict[str, dict[str, Any]] = TABLE["stages"]
_NO_STAGE: dict[str, Any] = {"axes": [], "inputs": []}

_NO_SIDE = "no side"

#: The inputs that some kernel takes as float32 and others in their own dtype, by their fields.
FLOAT32_FIELDS = frozenset(
    field["name"] for stage in _STAGES.values() for field in stage["inputs"] if "isFloat32" in field
)


@dataclass(frozen=True)
class Taken:
    """What a kernel takes, by the fields of `normrope_args`: `q.in`, `positions`."""

    inputs: frozenset[str]
    #: Those that a call may leave out.
    optional: frozenset[str]
    #: Those of float32 where the table of inputs says the kernel's dtype.
    float32: frozenset[str]
    #: The sides that it only copies.
    copied_sides: frozenset[str]
    #: Positions of a token.
    position_axes: int
    #: Elements of a head that rotate.
    rotary_dim: int

    @classmethod
    def read(cls, kernel: Mapping[str, Any]) -> Taken:
        """What a manifest says of a kernel."""
        return cls(
            inputs=frozenset(kernel["inputs"]),
            optional=frozenset(kernel["optionalInputs"]),
            float32=frozenset(kernel["float32Inputs"]),
            copied_sides=frozenset(kernel["copiedSides"]),
            position_axes=kernel["positionAxes"],
            rotary_dim=kernel["pairing"]["rotaryDim"] if "pairing" in kernel else 0,
        )


def is_in_range(allowed: Mapping[str, Any], value: Any) -> bool:
    """Whether an axis or a condition allows a value."""
    if allowed["kind"] == "enum":
        return isinstance(value, str) and value in allowed["values"]
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return bool(value % allowed["step"] == 0 and allowed["min"] <= value <= allowed["max"])


def is_at(when: Condition, values: Values) -> bool:
    """Whether values meet a condition."""
    return all(is_in_range(allowed, values.get(name)) for name, allowed in when.items())


def has_meaning(axis: Mapping[str, Any], values: Values) -> bool:
    """Whether an axis means something for these values of earlier axes."""
    return is_at(axis.get("when", {}), values)


def _calls(stages: SideStages) -> Iterator[Stage]:
    for _, own in stages:
        yield from own


def _values_of(stage: Stage, point: Values) -> dict[str, Any]:
    """The values of the stage's axes that apply at a point. An axis that the op lacks has its default."""
    name, fixed = stage
    arguments, own = dict(fixed), _STAGES.get(name, _NO_STAGE)["axes"]
    values: dict[str, Any] = {}
    for axis in AXES:
        if axis["name"] in own:
            value = arguments.get(axis["name"], point.get(axis["name"], axis.get("default")))
            if value is not None and has_meaning(axis, {**point, **values}):
                values[axis["name"]] = value
    return values


def stages_at(stages: SideStages, point: Values) -> SideStages:
    """What stages come down to at a point. A side without stages is copied; one that is left alone is not there."""
    found: list[tuple[str, tuple[Stage, ...]]] = []
    for side, own in stages:
        forms = [_form_of(stage, point) for stage in own]
        if None not in forms:
            found.append((side, tuple(stage for form in forms for stage in form or ())))
    return tuple(found)


def _form_of(stage: Stage, point: Values) -> tuple[Stage, ...] | None:
    """What a stage stands for; None for a side that is left alone."""
    values = {**point, **_values_of(stage, point)}
    for form in _STAGES.get(stage[0], _NO_STAGE).get("becomes", []):
        if is_at(form["when"], values):
            if form["as"] == _NO_SIDE:
                return None
            return tuple((own["name"], tuple(sorted(own["args"].items()))) for own in form["as"])
    return (stage,)


def rejection(stages: SideStages, point: Values) -> str | None:
    """The first rule that the stages' values break, in words; None if they keep all."""
    for stage in _calls(stages):
        values = {**point, **_values_of(stage, point)}
        for rule in _STAGES.get(stage[0], _NO_STAGE).get("rules", []):
            first, second = rule.get("areEqual", (None, None))
            if is_at(rule["when"], values) and values.get(first) == values.get(second):
                return _with_values(rule["reason"], values)
    left = stages_at(stages, point)
    field = _input_of_two_dtypes(left, point)
    if field is not None:
        return f"one stage reads {field} as float32, another in the kernel's dtype"
    if any(_calls(left)):
        return None
    return "no stage does anything, so that a kernel would at most copy"


def _input_of_two_dtypes(stages: SideStages, point: Values) -> str | None:
    """An input of a side that one stage reads as float32 and another in the kernel's dtype."""
    for side, calls in stages:
        float32: dict[str, bool] = {}
        for stage in calls:
            at = _values_of(stage, point)
            for field in _STAGES.get(stage[0], _NO_STAGE)["inputs"]:
                if is_at(field.get("when", {}), at):
                    own = "isFloat32" in field and is_at(field["isFloat32"], at)
                    if float32.setdefault(field["name"], own) != own:
                        return f"{side}.{field['name']}"
    return None


def _with_values(reason: str, values: Values) -> str:
    """A reason, in which `{axis}` stands for an axis's value."""
    return re.sub(r"\{(\w+)\}", lambda name: str(values.get(name[1])), reason)


def taken_at(stages: SideStages, point: Values) -> Taken | None:
    """What the kernel of a point takes; None if a stage is not in the table."""
    if any(name not in _STAGES for name, _ in _calls(stages)):
        return None
    taken: dict[str, set[str]] = {"when": set(), "isOptional": set(), "isFloat32": set()}
    own = stages_at(stages, point)
    values = [(side, stage, _values_of(stage, point)) for side, calls in own for stage in calls]
    for side, (name, _), at in values:
        for field in _STAGES[name]["inputs"]:
            if is_at(field.get("when", {}), at):
                for condition, paths in taken.items():
                    if condition == "when" or (condition in field and is_at(field[condition], at)):
                        paths |= {field["name"], f"{side}.{field['name']}"}
    heads = {f"{side}.{field}" for side, _ in own for field in ("in", "out")}
    return Taken(
        inputs=frozenset(taken["when"] | heads),
        optional=frozenset(taken["isOptional"]),
        float32=frozenset(taken["isFloat32"]),
        copied_sides=frozenset(side for side, calls in own if not calls),
        position_axes=max([1, *(at.get("positionAxes", 1) for _, _, at in values)]),
        rotary_dim=max([0, *(at.get("rotaryDim", 0) for _, _, at in values)]),
    )
