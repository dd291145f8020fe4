"""The op on torch tensors, and as `torch.ops.normrope.fused_qk_norm_rope`.

In: tensors of one device, and numbers. Out: one launch on the current stream of that device, in place. Importing this
module registers the op. A call that looks like an earlier one costs a look into a dictionary, a few words patched in an
argument struct and one call into the library; all that comes before a first call is in `_torch_plan`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ._call import Numbers, read_numbers
from ._kernels import Place
from ._torch_names import dispatch_modes, increment_versions, is_profiled, is_tracing, is_transformed
from ._torch_plan import Plan, check_fake, make_plan, require_no_grad, target_of
from ._torch_version import require_version
from .errors import NormropeError
from .support import answer

__all__ = ["Tensor", "implementation_for", "is_compiling", "launch", "target_of", "why_not_as_constant"]

_SCHEMA = (
    "fused_qk_norm_rope(Tensor(a!) qkv, int num_heads_q, int num_heads_k, int num_heads_v, int head_dim, float eps, "
    "Tensor q_weight, Tensor k_weight, float base, bool is_neox, Tensor position_ids, float factor, float low, "
    "float high, float attention_factor, int? rotary_dim=None, *, str? library=None) -> ()"
)

#: What no code of somebody else's stands behind.
_PLAIN = frozenset((Tensor, Parameter))

#: A model has one for each kind of layer. When there are more, all are made anew.
_PLANS_KEPT = 512

require_version(torch)

is_compiling = torch.compiler.is_compiling
_is_grad_enabled = torch.is_grad_enabled
_is_inference_mode_enabled = torch.is_inference_mode_enabled


class _Plans(threading.local):
    """Of one thread, so that none patches a struct that another is about to pass."""

    def __init__(self) -> None:
        self.by_key: dict[Any, Plan] = {}


_plans = _Plans()
os.register_at_fork(after_in_child=lambda: _plans.by_key.clear())  # whether a device can be used there is asked anew


def implementation_for(qkv: Tensor, q_weight: Any, k_weight: Any, position_ids: Any) -> Callable[..., None]:
    """The launch itself, past torch's dispatcher, where nobody traces, wraps or watches the call."""
    if is_compiling() or dispatch_modes() != 0 or is_transformed() or is_tracing() or is_profiled():
        return _dispatched
    if type(qkv) in _PLAIN and type(q_weight) in _PLAIN and type(k_weight) in _PLAIN and type(position_ids) in _PLAIN:
        return launch
    if isinstance(q_weight, Tensor) and isinstance(k_weight, Tensor) and isinstance(position_ids, Tensor):
        return _dispatched
    return launch  # which says what is none


def _why_not(*question: Any) -> str | None:
    return answer(*question)


#: For a function that is being compiled: a kernel is found now, and no lock is looked into.
why_not_as_constant: Callable[..., str | None] = torch.compiler.assume_constant_result(_why_not)


def _dispatched(*args: Any, library: Place = None) -> None:
    place = None if library is None else str(library)
    torch.ops.normrope.fused_qk_norm_rope(*args, library=place)


def launch(
    qkv: Tensor,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    eps: float,
    q_weight: Tensor,
    k_weight: Tensor,
    base: float,
    is_neox: bool,
    position_ids: Tensor,
    factor: float,
    low: float,
    high: float,
    attention_factor: float,
    rotary_dim: int | None = None,
    *,
    library: Place = None,
) -> None:
    """`normrope.fused_qk_norm_rope` for tensors: its docstring has the arguments and the errors."""
    try:
        tokens, width = qkv.shape
        dtype, device = qkv.dtype, qkv.device
        # What make_plan refuses otherwise, but for what the C library checks each time.
        fits = q_weight.dtype is dtype and k_weight.dtype is dtype and position_ids.shape == (tokens,)
        fits = fits and q_weight.device == device and k_weight.device == device and position_ids.device == device
        fits = fits and q_weight.ndim == k_weight.ndim == 1 and q_weight.numel() == k_weight.numel() == head_dim
        fits = fits and q_weight.is_contiguous() and k_weight.is_contiguous() and position_ids.is_contiguous()
        fits = fits and not (q_weight.is_neg() or k_weight.is_neg())
        # All else that it looks at. A plan for no or one token has not looked at the stride between rows.
        key: Any = (
            width,
            qkv.stride(),
            dtype,
            device,
            tokens if tokens < 2 else 2,
            position_ids.dtype,
            num_heads_q,
            num_heads_k,
            num_heads_v,
            head_dim,
            eps,
            base,
            is_neox,
            factor,
            low,
            high,
            attention_factor,
            rotary_dim,
            library,
        )
        plan = _plans.by_key.get(key) if fits else None
    except (AttributeError, RuntimeError, TypeError, ValueError):
        key = plan = None  # an argument is of another kind: make_plan says which
    # That a value is equal is not enough: to a dictionary True is 1.
    is_exact = type(num_heads_q) is type(num_heads_k) is type(num_heads_v) is type(head_dim) is int
    is_exact = is_exact and type(is_neox) is bool and (rotary_dim is None or type(rotary_dim) is int)
    is_exact = is_exact and not (eps is True or eps is False or base is True or factor is True or low is True)
    is_exact = is_exact and not (low is False or high is True or high is False or attention_factor is True)
    memory = plan.table.memory if plan is not None and is_exact else None
    while plan is None or memory is None:
        numbers = read_numbers(
            *(num_heads_q, num_heads_k, num_heads_v, head_dim, eps, base, is_neox),
            *(factor, low, high, attention_factor, rotary_dim),
        )
        plan = _keep(key, make_plan(numbers, qkv, q_weight, k_weight, position_ids, library))
        memory = plan.table.memory
    if _is_grad_enabled() and (qkv.requires_grad or q_weight.requires_grad or k_weight.requires_grad):
        require_no_grad(qkv=qkv, q_weight=q_weight, k_weight=k_weight)
    if qkv.is_inference() and not _is_inference_mode_enabled():  # as torch's own ops in place refuse it
        fix = "Call it under torch.inference_mode(), or pass qkv.clone()"
        raise NormropeError("invalid-argument", "qkv is a tensor of inference mode, which is off", fix)
    plan.launch(memory, qkv, q_weight, k_weight, position_ids)
    increment_versions((qkv,))  # as torch's own ops in place do: autograd may have saved it for something else


def _keep(key: Any, plan: Plan) -> Plan:
    if len(_plans.by_key) >= _PLANS_KEPT:
        _plans.by_key.clear()
    _plans.by_key[key] = plan
    return plan


def _fake(
    qkv: Tensor,
    num_heads_q: int,
    num_heads_k: int,
    num_heads_v: int,
    head_dim: int,
    eps: float,
    q_weight: Tensor,
    k_weight: Tensor,
    base: float,
    is_neox: bool,
    position_ids: Tensor,
    factor: float,
    low: float,
    high: float,
    attention_factor: float,
    rotary_dim: int | None = None,
    *,
    library: str | None = None,
) -> None:
    """What can be told of tensors without data, so that a trace fails where the call would."""
    heads = (int(num_heads_q), int(num_heads_k), int(num_heads_v), int(head_dim))
    rotary = int(head_dim if rotary_dim is None else rotary_dim)
    numbers = Numbers(*heads, eps, base, is_neox, factor, low, high, attention_factor, rotary)
    require_no_grad(qkv=qkv, q_weight=q_weight, k_weight=k_weight)
    check_fake(numbers, qkv, q_weight, k_weight, position_ids)


_registration = torch.library.Library("normrope", "FRAGMENT")
_registration.define(_SCHEMA)
for _device in ("CPU", "CUDA"):
    _registration.impl("fused_qk_norm_rope", launch, _device)
torch.library.register_fake("normrope::fused_qk_norm_rope", _fake, lib=_registration)
