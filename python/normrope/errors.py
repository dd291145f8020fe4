"""The one error of the package, how it spells a value, and checks of single numbers.

In: what went wrong. Out: an error that names the value and ends with the fix, in the words of runtime/errors.ts. Must
not import anything of normrope.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import numbers
from collections.abc import Iterator, Mapping
from typing import Any, Literal

ErrorCode = Literal[
    "invalid-argument",  # an argument is wrong; nothing was launched or written
    "library-not-found",  # there is no shared library or manifest at the path
    "library-invalid",  # the file is there and is not a whole normrope library of this version
    "cpu-unsupported",  # the library was built for instructions that this CPU lacks
    "torch-unsupported",  # torch is too old for the op on tensors
    "kernel-not-found",  # there is no kernel for the point
    "compile-failed",  # a kernel was to be compiled on its first use, and could not be
    "no-device",  # the call needs a device and there is none
    "out-of-memory",
    "device-error",  # the device or its driver reported an error
]

COUNT_MAX = 2**31 - 1

_SHOWN_LENGTH = 200


class NormropeError(RuntimeError):
    """Every error that normrope raises: the message names the value and ends with the fix."""

    def __init__(self, code: ErrorCode, message: str, fix: str) -> None:
        super().__init__(code, message, fix)  # all three, so that it can be pickled
        self.code: ErrorCode = code
        self.message = message
        #: What the user can do about it.
        self.fix = fix
        #: The argument, if it is an error of one.
        self.field: str | None = None

    def __str__(self) -> str:
        return f"{self.message}. {self.fix}"

    def renamed(self, names: Mapping[str, str]) -> NormropeError:
        """The same error, by the caller's own name for the argument."""
        name = names.get(self.field or "")
        if name is None or self.field is None:
            return self
        message, fix = (name + text.removeprefix(self.field) for text in (self.message, self.fix))
        error = NormropeError(self.code, message, fix)
        error.field = name
        return error


@contextlib.contextmanager
def renaming(names: Mapping[str, str]) -> Iterator[None]:
    """Errors within have the caller's own names for arguments."""
    try:
        yield
    except NormropeError as error:
        raise error.renamed(names) from error.__cause__


def invalid_argument(field: str, value: object, want: str) -> NormropeError:
    """An argument error that names the argument, its value, and what is wanted instead."""
    return unfit_argument(field, show(value), want)


def unfit_argument(field: str, what: str, want: str) -> NormropeError:
    """The same for a value that is described in words."""
    error = NormropeError("invalid-argument", f"{field} is {what}", f"{field} must be {want}")
    error.field = field
    return error


def require_bool(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise invalid_argument(field, value, "True or False")


def require_count(field: str, value: object) -> int:
    if type(value) is int and 0 <= value <= COUNT_MAX:  # as in nearly all calls
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and 0 <= int(value) <= COUNT_MAX:
        return int(value)
    raise invalid_argument(field, value, f"a whole number from 0 to {COUNT_MAX}")


def require_number(field: str, value: object, want: str = "a number") -> float:
    if type(value) is float:
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # beyond float64
            return float(value)
    raise invalid_argument(field, value, want)


def require_float32(field: str, value: object) -> float:
    want = "a number that float32 can hold"
    number = require_number(field, value, want)
    rounded = ctypes.c_float(number).value
    if math.isfinite(rounded) and (rounded != 0 or number == 0):
        return number
    raise invalid_argument(field, value, want)


def require_in(field: str, value: object, rule: Mapping[str, Any]) -> float:
    """A finite number in the range of a rule, which may have `min`, `is_min_excluded` and `max`."""
    low, high = rule.get("min", -math.inf), rule.get("max", math.inf)
    want = _describe_range(rule)
    number = require_number(field, value, want)
    is_above = number > low if "is_min_excluded" in rule else number >= low
    if math.isfinite(number) and is_above and number <= high:
        return number
    raise invalid_argument(field, value, want)


def require_positive(field: str, value: object) -> float:
    return require_in(field, value, {"min": 0, "is_min_excluded": True})


def _describe_range(rule: Mapping[str, Any]) -> str:
    if "min" not in rule:
        return "a finite number"
    if "is_min_excluded" not in rule:
        return f"a number from {rule['min']}" + (f" to {rule['max']}" if "max" in rule else "")
    if "max" in rule:
        return f"a number above {rule['min']} and at most {rule['max']}"
    return "a positive number" if rule["min"] == 0 else f"a number above {rule['min']}"


def show(value: object) -> str:
    """A value as a user would write it, short enough for one line."""
    if isinstance(value, str):
        shown = json.dumps(value[:_SHOWN_LENGTH], ensure_ascii=not value.isprintable())
        return shown if len(value) <= _SHOWN_LENGTH else f"{shown}… of {len(value)} characters"
    if value is None or isinstance(value, numbers.Real):  # a bool is one
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"an object of type {type(value).__name__}"


def quoted(text: object) -> str:
    """A path or a name; in quotes if it is empty or not printable."""
    plain = str(text)
    return plain if plain != "" and plain.isprintable() else json.dumps(plain)
