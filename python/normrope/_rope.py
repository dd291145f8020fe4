"""RoPE parameters → the table that the kernels read.

In: base, rotary dim and a scaling, frequencies of the caller's own, or a model's config. Out: frequencies in float64,
by the formulas of `_rope_scalings`; and on each device the turns for each step of position, which the C library makes
of them. Must not know of torch: who owns the memory of a device says how it gets there.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._abi import Functions
from ._point import as_int
from ._rope_config import rope_of_config
from ._rope_scalings import SCALINGS
from .errors import invalid_argument, require_finite, require_number, require_positive, unfit_argument

#: More than any head has.
ROTARY_DIM_MAX = 65536

TABLE_ALIGNMENT_BYTES = 16
_WORD_BYTES = 8


class RopeTable:
    """The angles of a model, made once: `qk_norm_rope` takes it as `rope_table`.

    It is read only. What it keeps on a device, 8 bytes for each pair, lives as long as it does or the package remembers
    a call with it; what a CUDA graph has captured, as long as the process.
    """

    #: Leading elements of a head that rotate.
    rotary_dim: int
    #: `[rotary_dim / 2]`, radians per position.
    inv_freq: tuple[float, ...]
    #: Multiplies cosine and sine; 1 without YaRN or longrope.
    attention_factor: float

    def __init__(self, *, base: float, rotary_dim: int, scaling: Mapping[str, Any] | None = None) -> None:
        """By `rope_theta`, and a scaling as configs of Hugging Face write it.

        Args:
            base: `rope_theta`.
            rotary_dim: Leading elements of a head that rotate, even.
            scaling: `rope_type` (`linear`, `dynamic`, `alpha`, `yarn`, `yarn-ramp`, `llama3`, `longrope`,
                `proportional`), and the parameters of that one, in snake_case: docs/python.md lists them. Default:
                none.

        Raises:
            NormropeError: `invalid-argument`.
        """
        require_positive("base", base)
        rotary_dim = as_int(rotary_dim)
        if type(rotary_dim) is not int or rotary_dim % 2 != 0 or not 2 <= rotary_dim <= ROTARY_DIM_MAX:
            raise invalid_argument("rotary_dim", rotary_dim, f"an even number from 2 to {ROTARY_DIM_MAX}")
        self._keep(*_scaled(float(base), rotary_dim, scaling))

    @classmethod
    def from_inv_freq(cls, inv_freq: Iterable[float], attention_factor: float = 1.0) -> RopeTable:
        """Of frequencies of the caller's own, in radians per position: a list, an array, or a tensor on any device.

        Raises:
            NormropeError: `invalid-argument`.
        """
        listed = getattr(inv_freq, "tolist", None)
        try:
            values = list(inv_freq if listed is None else listed())
        except TypeError as cause:
            want = "numbers, one for each pair of a head that rotates"
            raise invalid_argument("inv_freq", inv_freq, want) from cause
        table = cls.__new__(cls)
        table._keep([require_number(f"inv_freq[{i}]", value) for i, value in enumerate(values)], attention_factor)
        return table

    @classmethod
    def from_hf_config(
        cls, config: Any, layer_type: str | None = None, *, head_dim: int | None = None, length: int | None = None
    ) -> RopeTable:
        """Of a model's config, as transformers or a config.json has it.

        Args:
            config: An object or a mapping with `rope_theta` and `rope_scaling`, or `rope_parameters`; a model of text
                and pictures has them in `text_config`, which is found.
            layer_type: Where the parameters are by type of layer, such as "full_attention".
            head_dim: Default: the config's, else `hidden_size / num_attention_heads`.
            length: Tokens of the sequence, for `dynamic` and `longrope`; default: a table for what the model was
                trained on.

        Raises:
            NormropeError: `invalid-argument`, for what the config lacks or has wrong.
        """
        return cls(**rope_of_config(config, layer_type, head_dim, length))

    def _keep(self, inv_freq: Iterable[float], attention_factor: float) -> None:
        self.inv_freq = tuple(inv_freq)
        if not self.inv_freq:
            raise unfit_argument("inv_freq", "empty", "numbers, one for each pair of a head that rotates")
        for i, frequency in enumerate(self.inv_freq):
            if not 0 <= frequency < 2**64:
                raise invalid_argument(f"inv_freq[{i}]", frequency, "a number from 0 up to below 2^64")
        self.attention_factor = require_number("attention_factor", attention_factor)
        require_finite("attention_factor", self.attention_factor)
        self.rotary_dim = 2 * len(self.inv_freq)
        #: What holds the table on a device, by the device's name.
        self._memory: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"RopeTable(rotary_dim={self.rotary_dim}, attention_factor={self.attention_factor})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RopeTable.from_inv_freq, (self.inv_freq, self.attention_factor)

    def on(self, device: str, functions: Functions, bring: Callable[[Any], Any] = lambda turns: turns) -> Any:
        """The table's memory on a device, made at the first time: `bring` is given what lies on the host."""
        memory = self._memory.get(device)
        return self._memory.setdefault(device, bring(self._turns(functions))) if memory is None else memory

    def _turns(self, functions: Functions) -> ctypes.Array[ctypes.c_uint64]:
        """`[rotary_dim / 2]` uint64 in host memory, aligned as the kernels need it."""
        count = len(self.inv_freq)
        bytes_ = (ctypes.c_char * (count * _WORD_BYTES + TABLE_ALIGNMENT_BYTES))()
        offset = -ctypes.addressof(bytes_) % TABLE_ALIGNMENT_BYTES
        turns = (ctypes.c_uint64 * count).from_buffer(bytes_, offset)
        functions.require(functions.rope_table((ctypes.c_double * count)(*self.inv_freq), count, turns))
        return turns


def _scaled(base: float, rotary_dim: int, scaling: Mapping[str, Any] | None) -> tuple[list[float], float]:
    """Frequencies and attention factor. The checks are those of runtime/rope_frequencies.ts, by the same table."""
    row = _row_of(scaling)
    given = (
        {} if scaling is None else {name: value for name, value in scaling.items() if name not in ("rope_type", "type")}
    )
    unknown = next((name for name in given if name not in row["parameters"]), None)
    if unknown is not None:
        known = ", ".join(["rope_type", *row["parameters"]])
        raise unfit_argument(f"scaling.{unknown}", "not known", f"one of {known}")
    values = _parameters(row, rotary_dim // 2, given)
    for name, refused in row.get("refuses", {}).items():
        if {"base": base, "rotary_dim": rotary_dim}[name] == refused:
            raise invalid_argument(name, refused, f"other than {refused} for scaling.rope_type {_type_of(scaling)}")
    one_of = row.get("one_of", [])
    if one_of and all(given.get(name) is None for name in one_of):
        raise unfit_argument(f"scaling.{one_of[0]}", "None", f"given, or one of {', '.join(one_of[1:])}")

    def at(i: int) -> dict[str, Any]:
        own = {name: value[i] if isinstance(value, list) else value for name, value in values.items()}
        return {**own, "i": i, "plain": base ** (-2 * i / rotary_dim), "base": base, "rotary_dim": rotary_dim}

    try:
        frequencies = [row["frequency"](at(i)) for i in range(rotary_dim // 2)]
        factor = row.get("attention_factor", lambda _: 1.0)(at(0))
    except (ArithmeticError, ValueError):  # a number that is too large, or 0, in the middle of a formula
        raise invalid_argument("base", base, "one whose frequencies float64 can hold") from None
    return frequencies, factor


_UNSCALED = {"parameters": {}, "frequency": lambda p: p["plain"]}


def _type_of(scaling: Mapping[str, Any] | None) -> Any:
    if scaling is None:
        return "default"
    if not isinstance(scaling, Mapping):
        raise invalid_argument("scaling", scaling, "a mapping with rope_type, or None")
    return scaling.get("rope_type", scaling.get("type"))


def _row_of(scaling: Mapping[str, Any] | None) -> dict[str, Any]:
    rope_type = _type_of(scaling)
    rows = {"default": _UNSCALED, **SCALINGS}
    if isinstance(rope_type, str) and rope_type in rows:
        return rows[rope_type]
    raise invalid_argument("scaling.rope_type", rope_type, f"one of {', '.join(rows)}")


def _parameters(row: dict[str, Any], count: int, given: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: _parameter(f"scaling.{name}", given.get(name), rule, count) for name, rule in row["parameters"].items()
    }
    for name, rule in row["parameters"].items():
        least = rule.get("at_least")
        if least is not None and values[name] < values[least]:
            said = {**values, **{own: value for own, value in given.items() if value is not None}}
            raise invalid_argument(f"scaling.{name}", said[name], f"at least {least}, {said[least]}")
    return values


def _parameter(field: str, value: Any, rule: dict[str, Any], count: int) -> Any:
    if value is None and "default" in rule:
        return rule["default"]
    if "is_flag" in rule:
        if isinstance(value, bool):
            return int(value)
        raise invalid_argument(field, value, "True or False")
    if "is_list" not in rule:
        return _number(field, value, rule)
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise invalid_argument(field, value, f"{count} numbers long")
    return [_number(f"{field}[{i}]", element, rule) for i, element in enumerate(value)]


def _number(field: str, value: Any, rule: dict[str, Any]) -> float:
    low, high = rule.get("min", -math.inf), rule.get("max", math.inf)
    want = _describe(rule)
    number = require_number(field, value, want)
    is_above = number > low if "is_min_excluded" in rule else number >= low
    if math.isfinite(number) and is_above and number <= high:
        return number
    raise invalid_argument(field, value, want)


def _describe(rule: dict[str, Any]) -> str:
    if "max" in rule:
        return f"a number from {rule['min']} to {rule['max']}"
    if "min" not in rule:
        return "a finite number"
    if "is_min_excluded" not in rule:
        return f"a number from {rule['min']}"
    return "a positive number" if rule["min"] == 0 else f"a number above {rule['min']}"
