"""Names of torch that its documentation lacks, and what takes their place if a torch lacks one.

In: torch, of any version that is supported. Out: functions with the same answer, or the answer that leads to torch's
dispatcher, which is slower and always right. Must not touch a device: normrope's import runs this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def attribute(path: str) -> Any:
    """`torch.<path>`; None if this torch lacks it."""
    found: Any = torch
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def answering(path: str, otherwise: Callable[..., Any], *probe: Any) -> Callable[..., Any]:
    """The function `torch.<path>` if it takes such arguments; else `otherwise`."""
    try:
        attribute(path)(*probe)
    except Exception:  # it is missing, or has another signature
        return otherwise
    return attribute(path)  # type: ignore[no-any-return]


def perhaps() -> bool:
    """The answer of a torch that cannot tell whether somebody watches the call."""
    return True


#: Nobody watches a call if all four say no.
dispatch_modes = answering("_C._len_torch_dispatch_stack", perhaps)
is_transformed = answering("_C._are_functorch_transforms_active", perhaps)
is_profiled = answering("autograd._profiler_enabled", perhaps)
is_tracing = answering("_C._is_tracing", attribute("jit.is_tracing") or perhaps)


def increment_versions_one_by_one(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        torch.autograd.graph.increment_version(tensor)


#: The documented function checks its argument, which doubles the cost. The probe is empty: a tensor needs a device.
increment_versions = answering("_C._increment_version", increment_versions_one_by_one, ())


def stream_of_current(index: int) -> int:
    return torch.cuda.current_stream(index).cuda_stream  # type: ignore[no-any-return]


#: The address of the current stream of a CUDA device.
stream_of: Callable[[int], int] = attribute("_C._cuda_getCurrentRawStream") or stream_of_current


def raise_unless(condition: Any, message: Callable[[], str]) -> None:
    if not condition:
        raise RuntimeError(message())


#: A size that is a symbol is checked once it is known.
check: Callable[[Any, Callable[[], str]], None] = attribute("_check") or raise_unless

#: Whether this process was forked from one that had used CUDA. A torch that cannot tell sees no GPU there.
is_in_bad_fork: Callable[[], bool] = answering("cuda._is_in_bad_fork", bool)
