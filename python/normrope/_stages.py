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

#: What becomes of a side that the kernel does nothing to.
_LEFT_ALONE = "left alone"

#: The end of every side that is not left alone: the result is written to the output. Configs do not write it.
OUT: Stage = ("out", ())

#: What the table of stages calls dtypes of inputs, and what memory does.
_DTYPES = {"f32": "float32", "e4m3": "e4m3"}

#: For each field that some kernel takes in another dtype than its own, these dtypes.
OTHER_DTYPES: dict[str, tuple[str, ...]] = {
    field["name"]: tuple(_DTYPES[dtype] for dtype in field["dtypes"])
    for stage in _STAGES.values()
    for field in stage["inputs"]
    if "dtypes" in field
}


@dataclass(frozen=True)
class Taken:
    """What a kernel takes, by the fields of `normrope_args`: `q.in`, `positions`."""

    inputs: frozenset[str]
    #: Those that a call may leave out.
    optional: frozenset[str]
    #: The dtypes of those that have another one than the kernel's.
    dtypes: Mapping[str, str]
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
            dtypes={field: _DTYPES[dtype] for field, dtype in kernel["inputDtypes"].items()},
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
    """What stages come down to at a point, with the output. A side with nothing else is copied. One that is left alone
    has no output, and is not there unless something else writes it."""
    found: list[tuple[str, tuple[Stage, ...]]] = []
    for side, own in stages:
        forms = [_form_of(stage, point) for stage in own]
        calls = tuple(stage for form in forms for stage in form or ())
        if None not in forms:
            found.append((side, (*calls, OUT)))
        elif any(map(_is_sink, calls)):
            found.append((side, calls))
    return tuple(found)


def _is_sink(stage: Stage) -> bool:
    """Whether a stage writes the head."""
    return bool(_STAGES.get(stage[0], _NO_STAGE).get("isSink", False))


def leaves_open(stages: SideStages, side: str, name: str, axis: str) -> bool:
    """Whether a side has a stage of that name, whose arguments do not fix the axis."""
    return any(own == name and axis not in dict(fixed) for own, fixed in dict(stages).get(side, ()))


def _form_of(stage: Stage, point: Values) -> tuple[Stage, ...] | None:
    """What a stage stands for; None for a side that is left alone."""
    values = {**point, **_values_of(stage, point)}
    for form in _STAGES.get(stage[0], _NO_STAGE).get("becomes", []):
        if is_at(form["when"], values):
            if form["as"] == _LEFT_ALONE:
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
    if any(calls != (OUT,) for _, calls in left):
        return None
    return "no stage does anything, so that a kernel would at most copy"


def _input_of_two_dtypes(stages: SideStages, point: Values) -> str | None:
    """An input of a side that one stage reads as float32 and another in the kernel's dtype."""
    for side, calls in stages:
        dtypes: dict[str, str | None] = {}
        for stage in calls:
            at = _values_of(stage, point)
            for field in _STAGES.get(stage[0], _NO_STAGE)["inputs"]:
                if is_at(field.get("when", {}), at):
                    own = _dtype_of(field, at)
                    if dtypes.setdefault(field["name"], own) != own:
                        return f"{side}.{field['name']}"
    return None


def _dtype_of(field: Mapping[str, Any], values: Values) -> str | None:
    """The dtype of an input that is not the kernel's."""
    return next((_DTYPES[dtype] for dtype, when in field.get("dtypes", {}).items() if is_at(when, values)), None)


def _with_values(reason: str, values: Values) -> str:
    """A reason, in which `{axis}` stands for an axis's value."""
    return re.sub(r"\{(\w+)\}", lambda name: str(values.get(name[1])), reason)


def taken_at(stages: SideStages, point: Values) -> Taken | None:
    """What the kernel of a point takes; None if a stage is not in the table."""
    if any(name not in _STAGES for name, _ in _calls(stages)):
        return None
    own = stages_at(stages, point)
    taken = {f"{side}.in" for side, _ in own}
    # A side may go without its output if something else is written of it.
    optional = {f"{side}.out" for side, calls in own if sum(map(_is_sink, calls)) > 1}
    dtypes: dict[str, str] = {}
    values = [(side, stage, _values_of(stage, point)) for side, calls in own for stage in calls]
    for side, (name, _), at in values:
        for field in _STAGES[name]["inputs"]:
            if not is_at(field.get("when", {}), at):
                continue
            paths, dtype = {field["name"], f"{side}.{field['name']}"}, _dtype_of(field, at)
            taken |= paths
            if "isOptional" in field and is_at(field["isOptional"], at):
                optional |= paths
            if dtype is not None:
                dtypes.update(dict.fromkeys(paths, dtype))
    return Taken(
        inputs=frozenset(taken),
        optional=frozenset(optional),
        dtypes=dtypes,
        copied_sides=frozenset(side for side, calls in own if calls == (OUT,)),
        position_axes=max([1, *(at.get("positionAxes", 1) for _, _, at in values)]),
        rotary_dim=max([0, *(at.get("rotaryDim", 0) for _, _, at in values)]),
    )
