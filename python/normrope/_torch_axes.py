"""The axis of each pair on a device: made of bytes of the host, or of a tensor of wider integers.

In: axes as models keep them. Out: tensors of bytes, each made once, which streams and CUDA graphs may read.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ._torch_plan import keep_captured, require_no_capture
from .errors import unfit_argument


@functools.cache  # CUDA graphs may read them as long as the process lives
def on_device(axes: bytes, device: Any) -> Tensor:
    """Raises `device-error` in a capture, which nothing can be brought to the device in."""
    if device.type == "cuda":
        require_no_capture("the axes of pairs")
    return torch.tensor(list(axes), dtype=torch.uint8, device=device)


#: The bytes of tensors, by the tensors' ids; a tensor's version tells when it was written to.
_bytes: dict[int, tuple[weakref.ref[Tensor], int, Tensor]] = {}


def as_bytes(name: str, axes: Tensor) -> Tensor:
    """Raises `invalid-argument` for what is no byte, except in a trace and a capture, where no number can be read."""
    has_numbers = type(axes) in (Tensor, Parameter) and not axes.is_meta
    if torch.compiler.is_compiling() or not has_numbers:
        return axes.to(torch.uint8)
    is_captured = axes.is_cuda and torch.cuda.is_current_stream_capturing()
    # A tensor of inference mode does not tell whether it was written to.
    version = -1 if axes.is_inference() else axes._version
    owner, known, made = _bytes.get(id(axes), (None, -1, None))
    if made is not None and owner is not None and owner() is axes and known == version:
        if is_captured:
            keep_captured(made)
        return made
    made = axes.to(torch.uint8)
    if is_captured:
        return made
    if not (made == axes).all().item():  # which also waits, so that other streams may read it
        raise unfit_argument(name, "a tensor of other numbers", "axes, one for each pair")
    if version >= 0:
        key = id(axes)
        _bytes[key] = weakref.ref(axes, lambda _: _bytes.pop(key, None)), version, made
    return made
