"""RoPE parameters → the table that the kernels read.

In: base, rotary dim and a scaling; frequencies of the caller's own; or a model's config. Out: frequencies in float64,
by the formulas of `_rope_scalings`; and the turns for each step of position, which the C library makes of them, on each
device. Must not know of torch: the caller brings the turns to a device.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._abi import Functions
from ._point import as_int
from ._rope_config import rope_of_config
from ._rope_scalings import SCALINGS
from .errors import invalid_argument, require_in, require_number, require_positive, unfit_argument

#: More than any head has.
ROTARY_DIM_MAX = 65536

TABLE_ALIGNMENT_BYTES = 16
_WORD_BYTES = 8

_FREQUENCIES = "numbers, one for each pair of a head that rotates"

#: By `rope_type`.
_ROWS: dict[str, dict[str, Any]] = {"default": {"parameters": {}, "frequency": lambda p: p["plain"]}, **SCALINGS}


class RopeTable:
    """The angles of a model, made once: `qk_norm_rope` takes it as `rope_table`.

    It is read only. Its memory on a device, 8 bytes for each pair, lives as long as the table does or the package
    remembers a call with it. If a CUDA graph has captured it, it lives as long as the process.
    """

    #: Elements of a head that rotate.
    rotary_dim: int
    #: `[rotary_dim / 2]`, radians per position.
    inv_freq: tuple[float, ...]
    #: Multiplies cosine and sine; 1 without YaRN or longrope.
    attention_factor: float

    def __init__(self, *, base: float, rotary_dim: int, scaling: Mapping[str, Any] | None = None) -> None:
        """A table from `rope_theta`, and a scaling as configs of Hugging Face write it.

        Args:
            base: `rope_theta`.
            rotary_dim: Elements of a head that rotate, even.
            scaling: `rope_type` (`linear`, `dynamic`, `alpha`, `yarn`, `yarn-ramp`, `llama3`, `longrope`,
                `proportional`), and the parameters of that one in snake_case, which docs/runtime.md lists. Default:
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
        """A table of frequencies in radians per position: a list, an array, or a tensor on any device.

        Raises:
            NormropeError: `invalid-argument`.
        """
        to_list = getattr(inv_freq, "tolist", None)
        try:
            values = list(inv_freq if to_list is None else to_list())
        except TypeError as cause:
            raise invalid_argument("inv_freq", inv_freq, _FREQUENCIES) from cause
        table = cls.__new__(cls)
        table._keep(values, attention_factor)
        return table

    @classmethod
    def from_hf_config(
        cls, config: Any, layer_type: str | None = None, *, head_dim: int | None = None, length: int | None = None
    ) -> RopeTable:
        """A table from a model's config, as transformers or a config.json has it.

        Args:
            config: An object or a mapping with `rope_theta` and `rope_scaling`, or with `rope_parameters`; or one with
                these in its `text_config`.
            layer_type: Such as "full_attention", if the parameters are by type of layer.
            head_dim: Elements of a head; default: the config's, else `hidden_size / num_attention_heads`.
            length: Tokens of the sequence, for `dynamic` and `longrope`; default: what the model was trained on.

        Raises:
            NormropeError: `invalid-argument`, if the config lacks something or has it wrong.
        """
        return cls(**rope_of_config(config, layer_type, head_dim, length))

    def _keep(self, inv_freq: list[Any], attention_factor: float) -> None:
        if not inv_freq:
            raise unfit_argument("inv_freq", "empty", _FREQUENCIES)
        self.inv_freq = tuple(_frequency(f"inv_freq[{i}]", value) for i, value in enumerate(inv_freq))
        self.attention_factor = require_in("attention_factor", attention_factor, {})
        self.rotary_dim = 2 * len(self.inv_freq)
        #: What holds the table on a device, by the device's name.
        self._memory: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"RopeTable(rotary_dim={self.rotary_dim}, attention_factor={self.attention_factor})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RopeTable.from_inv_freq, (self.inv_freq, self.attention_factor)

    def on(self, device: str, functions: Functions, bring: Callable[[Any], Any] = lambda turns: turns) -> Any:
        """The table's memory on a device. The first call makes it; `bring` takes the turns there from the host."""
        memory = self._memory.get(device)
        return self._memory.setdefault(device, bring(self._turns(functions))) if memory is None else memory

    def _turns(self, functions: Functions) -> ctypes.Array[ctypes.c_uint64]:
        """`[rotary_dim / 2]` uint64 in host memory, aligned as kernels need it."""
        count = len(self.inv_freq)
        bytes_ = (ctypes.c_char * (count * _WORD_BYTES + TABLE_ALIGNMENT_BYTES))()
        offset = -ctypes.addressof(bytes_) % TABLE_ALIGNMENT_BYTES
        turns = (ctypes.c_uint64 * count).from_buffer(bytes_, offset)
        functions.require(functions.rope_table((ctypes.c_double * count)(*self.inv_freq), count, turns))
        return turns


def _frequency(field: str, value: Any) -> float:
    want = "a number from 0 up to below 2^64"
    frequency = require_number(field, value, want)
    if 0 <= frequency < 2**64:
        return frequency
    raise invalid_argument(field, value, want)


def _scaled(base: float, rotary_dim: int, scaling: Mapping[str, Any] | None) -> tuple[list[float], float]:
    """Frequencies and attention factor. The checks are those of runtime/rope_frequencies.ts, by the same table."""
    rope_type, row, given = _row_of(scaling)
    values = _parameters(row, rotary_dim // 2, given)
    for name, refused in row.get("refuses", {}).items():
        if {"base": base, "rotary_dim": rotary_dim}[name] == refused:
            raise invalid_argument(name, refused, f"other than {refused} for scaling.rope_type {rope_type}")

    def at(i: int) -> dict[str, Any]:
        own = {name: value[i] if isinstance(value, list) else value for name, value in values.items()}
        return {**own, "i": i, "plain": base ** (-2 * i / rotary_dim), "base": base, "rotary_dim": rotary_dim}

    try:
        frequencies = [row["frequency"](at(i)) for i in range(rotary_dim // 2)]
        return frequencies, row.get("attention_factor", lambda _: 1.0)(at(0))
    except (ArithmeticError, ValueError):  # a number within a formula is too large, or 0
        raise invalid_argument("base", base, "one whose frequencies float64 can hold") from None


def _row_of(scaling: Mapping[str, Any] | None) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A scaling's type, its row of the table, and the parameters that are given."""
    if scaling is not None and not isinstance(scaling, Mapping):
        raise invalid_argument("scaling", scaling, "a mapping with rope_type, or None")
    given = {"rope_type": "default"} if scaling is None else dict(scaling)
    rope_type = given.pop("rope_type", given.pop("type", None))
    if not isinstance(rope_type, str) or rope_type not in _ROWS:
        raise invalid_argument("scaling.rope_type", rope_type, f"one of {', '.join(_ROWS)}")
    row = _ROWS[rope_type]
    unknown = next((name for name in given if name not in row["parameters"]), None)
    if unknown is not None:
        known = ", ".join(["rope_type", *row["parameters"]])
        raise unfit_argument(f"scaling.{unknown}", "not known", f"one of {known}")
    return rope_type, row, {name: value for name, value in given.items() if value is not None}


def _parameters(row: dict[str, Any], count: int, given: Mapping[str, Any]) -> dict[str, Any]:
    rules = row["parameters"]
    values = {name: _parameter(f"scaling.{name}", given.get(name), rule, count) for name, rule in rules.items()}
    for name, rule in rules.items():
        least = rule.get("at_least")
        if least is not None and values[name] < values[least]:
            said = {**values, **given}
            raise invalid_argument(f"scaling.{name}", said[name], f"at least {least}, {said[least]}")
    one_of = row.get("one_of", [])
    if one_of and not any(name in given for name in one_of):
        raise unfit_argument(f"scaling.{one_of[0]}", "None", f"given, or one of {', '.join(one_of[1:])}")
    return values


def _parameter(field: str, value: Any, rule: dict[str, Any], count: int) -> Any:
    if value is None and "default" in rule:
        return rule["default"]
    if "is_flag" in rule:
        if isinstance(value, bool):
            return int(value)
        raise invalid_argument(field, value, "True or False")
    if "is_list" not in rule:
        return require_in(field, value, rule)
    if not isinstance(value, (list, tuple)) or len(value) != count:
        raise invalid_argument(field, value, f"{count} numbers long")
    return [require_in(f"{field}[{i}]", element, rule) for i, element in enumerate(value)]
