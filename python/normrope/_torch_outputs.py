"""Which new tensors a call on torch tensors makes: one for each side that has results, of q's dtype or FP8.

In: a form of call, tensors and options. Out: outputs, with their sides and dtypes. A call without a cache has one for
each side; any other looks like an earlier one, or is matched as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch

from . import _general
from ._form import Form
from ._match import Matched, raise_unless
from ._torch_plan import matched_fake

#: Indices of an output and of its heads among the tensors, and a dtype of torch; None is that of the heads.
Outputs = tuple[tuple[int, int, Any], ...]

#: From the end, where all forms have the same options.
_OUT_DTYPE = _general.OPTIONS.index("out_dtype") - len(_general.OPTIONS)

_KEPT = 1024

_known: dict[Any, Outputs] = {}
_lock = threading.Lock()


def outputs_of(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> Outputs:
    """Raises `invalid-argument`."""
    if options[_OUT_DTYPE] is None and all([tensors[cache] is None for cache in form.caches]):
        return tuple([(out, side, None) for out, side in form.outputs if tensors[side] is not None])
    key: Any
    try:
        looks = [t if t is None else (t.shape, t.dtype, t.device) for t in tensors]
        key = (form, options, *map(type, options), *looks)
        found = _known.get(key)
    except (AttributeError, TypeError):
        key = found = None  # the match says which argument is of another kind
    if found is None:
        found = outputs_by(form, matched_fake(form, tensors, options, raise_unless))
        with _lock:
            if len(_known) >= _KEPT:
                del _known[next(iter(_known))]
            _known[key] = found
    return found


def outputs_by(form: Form, matched: Matched) -> Outputs:
    """Those of a call that is matched."""
    dtype = torch.float8_e4m3fn if matched.point.values.get("out") == "e4m3" else None
    sides = matched.open_sides
    return tuple([(out, side, dtype) for out, side in form.outputs if form.tensors[side] in sides])
