"""A launch on torch tensors, past torch's dispatcher.

In: a form of call, tensors and options. Out: one launch on the current stream of the tensors' device. A call that looks
like an earlier one looks into a dictionary, writes addresses into an argument struct and calls the library once. All
else is in `_torch_plan`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ._dispatch import require_version
from ._form import Form
from ._torch_names import dispatch_modes, increment_versions, is_profiled, is_tracing, is_transformed
from ._torch_plan import Plan, make_plan, require_no_grad
from .errors import NormropeError

require_version(torch)

#: Types without code of their own, and that of an argument that is left out.
_PLAIN = frozenset((Tensor, Parameter, type(None)))

#: A model has one for each kind of layer and number of tokens. If there are more, the oldest goes.
_PLANS_KEPT = 1024

is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled
_is_inference_mode_enabled = torch.is_inference_mode_enabled


class _Plans(threading.local):
    """Each thread has plans of its own, because a call writes into its plan's struct."""

    def __init__(self) -> None:
        self.by_key: dict[Any, Plan] = {}


_plans = _Plans()
os.register_at_fork(after_in_child=lambda: _plans.by_key.clear())  # the child may have to refuse the device


def is_watched(tensors: Sequence[Any]) -> bool:
    """Whether somebody traces, wraps or watches the call. It then goes through torch's dispatcher."""
    if is_compiling() or dispatch_modes() != 0 or is_transformed() or is_tracing() or is_profiled():
        return True
    return not _PLAIN.issuperset(map(type, tensors)) and any(
        isinstance(tensor, Tensor) and type(tensor) not in _PLAIN for tensor in tensors
    )


def launch(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> None:
    """The call itself. The functions of `_qk_norm_rope`, `_own_op` and `_fused` document arguments and errors."""
    key: Any
    try:
        # To a dictionary True is 1, so types are part of the key.
        looks = [t if t is None else (t.shape, t.stride(), t.dtype, t.device) for t in tensors]
        key = (form, options, *map(type, options), *looks)
        plan = _plans.by_key.get(key)
    except (AttributeError, RuntimeError, TypeError):
        key = plan = None  # make_plan says which argument is of another kind
    try:
        if plan is None:
            plan = make_plan(form, tensors, options)
            if len(_plans.by_key) >= _PLANS_KEPT:
                del _plans.by_key[next(iter(_plans.by_key))]
            _plans.by_key[key] = plan
        if plan.may_be_negated and any(t is not None and t.is_neg() for t in tensors):
            make_plan(form, tensors, options)  # which says which is negated
        if _is_grad_enabled():
            require_no_grad(form.tensors, tensors)
        if not _is_inference_mode_enabled():
            _require_normal(form, tensors, plan)
        plan.launch([0 if t is None else t.data_ptr() for t in tensors])
    except NormropeError as error:
        raise error.renamed(form.renames) from error.__cause__
    # torch's own ops in place do so too: autograd may have saved the tensors for something else.
    increment_versions([tensors[written] for written in plan.written])


def _require_normal(form: Form, tensors: Sequence[Any], plan: Plan) -> None:
    for written in plan.written:
        if tensors[written].is_inference():
            name = form.tensors[written]
            fix = f"Call it under torch.inference_mode(), or pass {form.renames.get(name, name)}.clone()"
            raise NormropeError("invalid-argument", f"{name} is a tensor of inference mode, which is off", fix)
