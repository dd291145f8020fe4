"""The form of a call: which tensors and options a function takes, by name and order.

In: tuples of tensors and options, as a function passes them on. Out: the same matched to the table of inputs, or by the
names of the op that torch registers. Must not know of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._match import Matched, raise_unless
from ._memory import Memory
from ._shapes import Require


@dataclass(frozen=True, eq=False)
class Form:
    """Calls pass tuples, which are fast to make and can be looked up."""

    #: The name of the op that torch registers.
    name: str
    #: Names of the arguments that are memory, in the order of a call.
    tensors: tuple[str, ...]
    #: Names of all other arguments. `table` is a `RopeTable`, `axes` are pairs of an argument and its value.
    options: tuple[str, ...]
    #: Matches memory and options, both by name, to the table of inputs.
    match: Callable[[Mapping[str, Memory], dict[str, Any], Require], Matched]
    #: For each side that results can be made for, the indices of its output and of its heads among the tensors.
    outputs: tuple[tuple[int, int], ...] = ()
    #: The indices of the caches among the tensors.
    caches: tuple[int, ...] = ()
    #: The caller's names for arguments that have other names in errors.
    renames: Mapping[str, str] = field(default_factory=dict)

    def matched(
        self, memories: Mapping[str, Memory], options: tuple[Any, ...], require: Require = raise_unless
    ) -> Matched:
        return self.match(memories, dict(zip(self.options, options, strict=True)), require)

    def by_name(self, tensors: tuple[Any, ...], options: tuple[Any, ...]) -> dict[str, Any]:
        """The call as the registered op takes it."""
        pairs = zip((*self.tensors, *self.options), (*tensors, *options), strict=True)
        named = {name: value for name, value in pairs if value is not None}
        if "library" in named:
            named["library"] = str(named["library"])
        if "out_dtype" in named:
            named["out_dtype"] = str(named["out_dtype"])
        if "axes" in named:
            named["axes"] = [f"{axis}={value}" for axis, value in named["axes"] if value is not None]
        table = named.pop("table", None)
        if table is not None:
            named["inv_freq"] = list(table.inv_freq)
            named.setdefault("attention_factor", table.attention_factor)
        return named
