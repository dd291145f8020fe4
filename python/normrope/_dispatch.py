"""Sends a call to tensors or to plain buffers, and says which torch will do.

In: a form of call and its arguments. Out: one run. Must not import torch: only a program that has imported it passes
tensors.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

from ._buffers import run_on_buffers
from ._form import Form
from .errors import NormropeError, quoted, unfit_argument

#: The first torch with `torch.library.register_fake`; all else that is used is older. Said in docs/python.md too.
OLDEST = (2, 4)

_torch_op: Any = None


def why_unfit(torch: Any) -> NormropeError | None:
    """`torch-unsupported`; None for a torch that will do."""
    version = getattr(torch, "__version__", None)
    found = re.match(r"(\d+)\.(\d+)", str(version))
    if found is not None and (int(found[1]), int(found[2])) >= OLDEST:
        return None
    oldest = f"{OLDEST[0]}.{OLDEST[1]}"
    message = f"torch is {quoted(version)}, and the op on tensors needs {oldest} or newer"
    return NormropeError("torch-unsupported", message, f"Install torch {oldest} or newer")


def require_version(torch: Any) -> None:
    error = why_unfit(torch)
    if error is not None:
        raise error


def find_torch_op() -> Any:
    """The module that knows torch, once torch was imported; None before, and for a torch that is too old."""
    global _torch_op
    if _torch_op is None and "torch" in sys.modules and why_unfit(sys.modules["torch"]) is None:
        from . import torch_op

        _torch_op = torch_op
    return _torch_op


def first_of(values: Sequence[Any]) -> Any:
    """The first argument that is given: it says where a call runs."""
    for value in values:  # a compiled function cannot take `next` of a generator
        if value is not None:
            return value
    return None


def torch_op_for(first: Any, dtype: Any) -> Any:
    """The module that knows torch if the first argument is a tensor; else None.

    Raises `torch-unsupported`, `invalid-argument`.
    """
    op = find_torch_op()
    if op is not None and isinstance(first, op.Tensor):
        if dtype is not None:
            raise unfit_argument("dtype", "given", "left out: a tensor has its own")
        return op
    torch = sys.modules.get("torch")
    if op is None and isinstance(first, getattr(torch, "Tensor", ())):
        require_version(torch)
    return None


def run(form: Form, values: tuple[Any, ...], options: tuple[Any, ...], dtype: Any) -> None:
    """`values` are in the order of the form; `dtype` is that of bit patterns."""
    if _torch_op is not None and dtype is None and isinstance(values[0], _torch_op.Tensor):  # as in nearly all calls
        _torch_op.run(form, values, options)
    elif (op := torch_op_for(first_of(values), dtype)) is not None:
        op.run(form, values, options)
    else:
        run_on_buffers(form, values, options, dtype)
