"""The C interface's errors for bad arguments, through this package's structs. For test/bad_input/python.test.ts.

In: JSON on stdin, `{"library", "kernel", "calls": [{field: value}]}`, where a value is a number in digits, or
`{"at": bytes}` into the memory of the call. Out: JSON on stdout, an error's code, message and fix for each call.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import normrope
from normrope._abi import Args, Functions

_BYTES = 4096


def args_of(call: dict[str, Any], memory: int) -> Args:
    args = Args(struct_size=ctypes.sizeof(Args))
    for path, value in call.items():
        *sides, name = path.split(".")
        struct: Any = getattr(args, sides[0]) if sides else args
        name = "in_" if name == "in" else name
        if isinstance(value, dict):
            setattr(struct, name, memory + value["at"])
        elif isinstance(getattr(struct, name), float):
            setattr(struct, name, float(value))
        elif isinstance(getattr(struct, name), ctypes.Array):
            getattr(struct, name)[0] = int(value)
        else:
            setattr(struct, name, int(value))
    return args


def main() -> None:
    asked = json.load(sys.stdin)
    functions = Functions(asked["library"])
    kernel = functions.find(asked["kernel"].encode())
    room = ctypes.create_string_buffer(_BYTES + 64)
    memory = -(-ctypes.addressof(room) // 64) * 64
    errors = []
    for call in asked["calls"]:
        args = args_of(call, memory)
        try:
            functions.require(functions.run(kernel, ctypes.byref(args), None))
        except normrope.NormropeError as error:
            errors.append([error.code, error.message, error.fix])
        else:
            errors.append(["", "", ""])
    json.dump(errors, sys.stdout)


if __name__ == "__main__":
    main()
