"""What the package says of bad calls, and which tables it makes: for test/python_agrees.test.ts, which asks the
TypeScript runtime the same.

In: JSON on stdin, `{"library", "calls": [{name: value}], "ropes": [[base, rotary_dim, factor, low, high]]}`, where a
buffer is `{"type", "length"}` and what JSON lacks `{"number"}`. Out: JSON on stdout.
"""

from __future__ import annotations

import json
import sys
from array import array
from pathlib import Path
from typing import Any

import normrope
from normrope._library import load_library
from normrope._rope import Rope, turns_of

_CODES = {"bf16": "H", "f16": "H", "int32": "i", "int64": "q"}


def value_of(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    if "number" in given:
        return float(given["number"])
    return array(_CODES[given["type"]], [0]) * given["length"]


def error_of(call: dict[str, Any], library: str) -> list[str]:
    try:
        normrope.fused_qk_norm_rope(
            **{name: value_of(given) for name, given in call.items()}, dtype=call["qkv"]["type"], library=library
        )
    except normrope.NormropeError as error:
        return [error.code, error.message, error.fix]
    return ["", "", ""]


def table_of(rope: list[float], library: str) -> dict[str, list[Any]]:
    base, rotary_dim, factor, low, high = rope
    made = Rope(base, int(rotary_dim), factor, low, high)
    turns = turns_of(made, load_library(Path(library)).functions)
    return {"frequencies": made.frequencies, "turns": [str(value) for value in turns]}


def main() -> None:
    asked = json.load(sys.stdin)
    errors = [error_of(call, asked["library"]) for call in asked["calls"]]
    tables = [table_of(rope, asked["library"]) for rope in asked["ropes"]]
    json.dump({"errors": errors, "tables": tables}, sys.stdout)


if __name__ == "__main__":
    main()
