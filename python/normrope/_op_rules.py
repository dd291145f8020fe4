"""Ops: what kernels compute, and over which axes.

In: op.json, or an op of a library's manifest. Out: its name, axes and stages. One is the op that ships with this
package. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ._inputs import AXES
from ._stages import SideStages, Stage

Axis = dict[str, Any]


@dataclass(frozen=True)
class OpRules:
    """An op. Two are equal if their names and stages are: the ranges of their axes are a config's own."""

    #: For each side that has any, in the order of application.
    stages: SideStages
    name: str
    #: In the order of the table.
    axes: tuple[Axis, ...] = field(compare=False)
    #: What any of its kernels in a library takes, by the fields of `normrope_args`.
    inputs: frozenset[str] = field(compare=False)

    @classmethod
    def read(cls, data: Mapping[str, Any], inputs: Iterable[str] = ()) -> OpRules:
        """An op of a manifest."""
        stages = tuple((side, tuple(_stage(stage) for stage in own)) for side, own in dict(data["stages"]).items())
        return cls(stages, data["name"], tuple(data["axes"]), frozenset(inputs))

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that some kernel works on."""
        return tuple(side for side, _ in self.stages)

    @property
    def fixed(self) -> list[tuple[Axis, dict[str, Any]]]:
        """The axes that its stages fix, each with the values that its stage fixes."""
        calls = [dict(args) for _, stages in self.stages for _, args in stages]
        return [(axis, args) for args in calls for axis in AXES if axis["name"] in args]

    @cached_property
    def arguments(self) -> dict[str, Axis]:
        """The axes that do not follow from the memory of a call, by their names as arguments."""
        return {snake(axis["name"]): axis for axis in self.axes if not axis.get("isImplied", False)}

    @property
    def is_shipped(self) -> bool:
        """Whether it is the op that `normrope cache add` compiles."""
        return self == SHIPPED

    def has(self, axis: str) -> bool:
        return any(own["name"] == axis for own in self.axes)


def _stage(stage: Mapping[str, Any]) -> Stage:
    return stage["name"], tuple(sorted(stage["args"].items()))


def listed(names: tuple[str, ...] | list[str]) -> str:
    """`q`, `q and k`, `q, k and v`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{str(letter[0]).lower()}", name)


#: The op that this package ships. `npm run compile` writes the file.
SHIPPED = OpRules.read(json.loads(Path(__file__).with_name("op.json").read_text(encoding="utf8")))
