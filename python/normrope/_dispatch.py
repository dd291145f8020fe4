"""Whether a call is on tensors or on plain buffers, and off it goes.

In: a form of call and its arguments. Out: one run. torch is not imported before somebody else has.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ._buffers import run_on_buffers
from ._form import Form
from ._torch_version import require_version, why_unfit
from .errors import unfit_argument

_torch_op: Any = None


def find_torch_op() -> Any:
    """The module that knows torch, once torch was imported; None before, and for a torch that is too old."""
    global _torch_op
    if _torch_op is None and "torch" in sys.modules and why_unfit(sys.modules["torch"]) is None:
        from . import torch_op

        _torch_op = torch_op
    return _torch_op


def first_of(values: Sequence[Any]) -> Any:
    """The first argument that is given: it says where a call runs, and the others must be there too."""
    for value in values:
        if value is not None:
            return value
    return None


def torch_op_for(first: Any, dtype: Any) -> Any:
    """The module where the first argument is a tensor; else None. `dtype` is what bit patterns are.

    Raises `torch-unsupported`, `invalid-argument`.
    """
    op = _torch_op or find_torch_op()
    if op is not None and isinstance(first, op.Tensor):
        if dtype is not None:
            raise unfit_argument("dtype", "given", "left out: a tensor has its own")
        return op
    torch = sys.modules.get("torch")
    if op is None and isinstance(first, getattr(torch, "Tensor", ())):
        require_version(torch)
    return None


def run(form: Form, values: tuple[Any, ...], options: tuple[Any, ...], dtype: Any) -> None:
    """`values` are by the names of the form; `dtype` is what bit patterns are."""
    if _torch_op is not None and dtype is None and isinstance(values[0], _torch_op.Tensor):  # as in nearly all calls
        _torch_op.run(form, values, options)
    elif (op := torch_op_for(first_of(values), dtype)) is not None:
        op.run(form, values, options)
    else:
        run_on_buffers(form, values, options, dtype)
