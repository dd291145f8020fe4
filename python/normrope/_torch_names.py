"""Names of torch that its documentation lacks, each with another way where a torch lacks it too.

In: torch, of any version that is supported. Out: functions that give the same answers, or the one that leads to torch's
dispatcher, which is slower and always right. Must not touch a device: this is read when normrope is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def named(path: str) -> Any:
    """What `torch.<path>` is; None where this torch lacks it."""
    found: Any = torch
    for name in path.split("."):
        found = getattr(found, name, None)
    return found


def answering(path: str, otherwise: Callable[..., Any], *probe: Any) -> Callable[..., Any]:
    """The function `torch.<path>` where it takes such arguments; else `otherwise`."""
    try:
        named(path)(*probe)
    except Exception:  # it is missing, or has another signature
        return otherwise
    return named(path)  # type: ignore[no-any-return]


def perhaps() -> bool:
    """Said for a torch that cannot be asked whether somebody watches the call."""
    return True


#: Nobody watches a call when all four say no.
dispatch_modes = answering("_C._len_torch_dispatch_stack", perhaps)
is_transformed = answering("_C._are_functorch_transforms_active", perhaps)
is_profiled = answering("autograd._profiler_enabled", perhaps)
is_tracing = answering("_C._is_tracing", named("jit.is_tracing") or perhaps)


def increment_versions_one_by_one(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        torch.autograd.graph.increment_version(tensor)


#: torch's own check of the argument costs as much again. No tensors are passed here: one would lie on a device.
increment_versions = answering("_C._increment_version", increment_versions_one_by_one, ())


def stream_of_current(index: int) -> int:
    return torch.cuda.current_stream(index).cuda_stream  # type: ignore[no-any-return]


#: The address of the current stream of a CUDA device.
stream_of: Callable[[int], int] = named("_C._cuda_getCurrentRawStream") or stream_of_current


def raise_unless(condition: Any, message: Callable[[], str]) -> None:
    if not condition:
        raise RuntimeError(message())


#: A size that is not known yet is checked when it is.
check: Callable[[Any, Callable[[], str]], None] = named("_check") or raise_unless

#: In a fork of a process that had used CUDA. A torch that cannot say so says that it sees no GPU.
is_in_bad_fork: Callable[[], bool] = answering("cuda._is_in_bad_fork", bool)
