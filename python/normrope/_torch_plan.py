"""All that comes before a first launch on tensors: checks, the kernel, the table on the device, an argument struct.

In: a form of call, tensors and options. Out: a plan, which launches for all tensors of the same shapes, strides, dtypes
and device. On a CUDA device this loads the kernel and uploads the table. Neither can be done while a graph is captured,
so it is then refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ._abi import Functions
from ._call import Call, pack, pack_on_host
from ._dispatch import first_of
from ._form import Form
from ._kernels import kernel_for
from ._library import Kernel
from ._manifest import Target
from ._match import Matched
from ._memory import Memory
from ._rope import RopeTable
from ._shapes import Require
from ._torch_names import is_in_bad_fork, stream_of
from .errors import NormropeError, invalid_argument, unfit_argument

_DTYPES = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "float32"}
_DTYPES |= {torch.int32: "int32", torch.int64: "int64", torch.uint8: "uint8"}
_DTYPES |= {torch.uint64: "uint64"} if hasattr(torch, "uint64") else {}
_DTYPES |= {torch.float8_e4m3fn: "e4m3"}
#: torch has complex numbers of these. Views of their parts may be negated when they are read.
_PARTS = ("f16", "float32")
_DEFAULT_STREAM = 0


class Plan:
    """A call that is complete but for the addresses of tensors."""

    def __init__(self, call: Call, kernel: Kernel, index: int, matched: Matched) -> None:
        """`index` is that of a CUDA device, -1 for the CPU."""
        self._functions = kernel.functions
        self._run = call.bound(kernel)
        self._index = index
        self._table = call.table
        #: Streams that are known to read the table.
        self._streams = {_DEFAULT_STREAM}
        self._is_captured = call.table is None
        #: Indices of the tensors that are written to.
        self.written = call.written
        self.may_be_negated = any(memory.dtype in _PARTS for memory in matched.memories.values())
        #: Launches with the addresses of the tensors.
        self.launch: Callable[[Sequence[int]], None] = self._launch_on_cpu
        if index >= 0:
            self.launch = self._launch_on_device if torch.cuda.device_count() == 1 else self._launch_on_its_device

    def _launch_on_cpu(self, addresses: Sequence[int]) -> None:
        self._run(addresses, None)

    def _launch_on_its_device(self, addresses: Sequence[int]) -> None:
        index = self._index
        with torch.cuda.device(index) if torch.cuda.current_device() != index else nullcontext():
            # The library has a CUDA runtime of its own, which need not know torch's current device.
            self._functions.require(self._functions.device_set(index))
            self._launch_on_device(addresses)

    def _launch_on_device(self, addresses: Sequence[int]) -> None:
        stream = stream_of(self._index)
        if stream not in self._streams:
            self._note_stream(stream)
        if not self._is_captured and torch.cuda.is_current_stream_capturing():
            self._is_captured = True
            keep_captured(self._table)
        self._run(addresses, stream)

    def _note_stream(self, stream: int) -> None:
        """torch's allocator then uses the table's memory again only after the stream has read it."""
        if self._table is not None and not torch.cuda.is_current_stream_capturing():
            self._table.record_stream(torch.cuda.ExternalStream(stream, device=self._table.device))
            self._streams.add(stream)


def make_plan(form: Form, tensors: Sequence[Any], options: tuple[Any, ...]) -> Plan:
    """Checks the tensors, finds the kernel and the table, and prepares both on the device.

    Raises NormropeError: `invalid-argument`, `kernel-not-found`, `library-not-found`, `library-invalid`,
    `cpu-unsupported`, `no-device`, `out-of-memory`, `device-error`.
    """
    memories = {
        name: _memory_of(name, tensor, source)
        for source, (name, tensor) in enumerate(zip(form.tensors, tensors, strict=True))
        if tensor is not None
    }
    matched = form.matched(memories, options)
    device = first_of(tensors).device
    target, arch = target_of(device)
    kernel = kernel_for(matched.point, target, arch, matched.library)
    if target == "cpu":
        return Plan(pack_on_host(matched, kernel), kernel, -1, matched)
    call, functions = pack(matched, kernel.takes), kernel.functions
    with torch.cuda.device(device):
        index = torch.cuda.current_device()
        functions.require(functions.device_set(index))
        _prepare(kernel, index)
        if matched.table is not None:
            table = _on_device(matched.table, str(device), functions)
            call.set_table(table, table.data_ptr())
    return Plan(call, kernel, index, matched)


def matched_fake(form: Form, tensors: Sequence[Any], options: tuple[Any, ...], require: Require) -> Matched:
    """Checks ranks, sizes and dtypes of tensors without data. `require` checks sizes that are symbols."""
    faked: dict[str, Memory] = {}
    for name, tensor in zip(form.tensors, tensors, strict=True):
        if tensor is not None:
            _require_tensor(name, tensor)
            shape, device = tuple(tensor.shape), str(tensor.device)
            faked[name] = Memory("tensor", _dtype_of(tensor), shape, (0,) * len(shape), 0, device=device)
    return form.matched(faked, options, require)


def match_fake(form: Form, tensors: Sequence[Any], options: tuple[Any, ...], require: Require) -> Matched:
    """The same, of a point that can be."""
    matched = matched_fake(form, tensors, options, require)
    impossible = matched.point.impossible
    if impossible is not None:
        raise NormropeError("kernel-not-found", "there can be no kernel for this", impossible)
    return matched


def require_no_grad(names: Sequence[str], tensors: Sequence[Any]) -> None:
    """There is no backward, so a tensor that requires grad would get none, in silence."""
    if not torch.is_grad_enabled():
        return
    for name, tensor in zip(names, tensors, strict=True):
        if tensor is not None and tensor.requires_grad:
            fix = "Call it under torch.no_grad() or torch.inference_mode(): the op has no backward"
            raise NormropeError("invalid-argument", f"{name} is a tensor that requires grad", fix)


def target_of(device: Any) -> tuple[Target, str]:
    """Target and architecture of a device. None is the current GPU if there is one, else the CPU."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as cause:
        raise invalid_argument("device", device, '"cpu" or "cuda"') from cause
    if found.type == "cpu":
        return "cpu", ""
    if found.type != "cuda":
        raise invalid_argument("device", str(device), '"cpu" or "cuda"')
    if torch.version.hip is not None:
        message = f"device is {device}, and torch was built for ROCm {torch.version.hip}, where no CUDA kernel runs"
        raise NormropeError("no-device", message, "Use a torch that was built for CUDA, or tensors on the CPU")
    if is_in_bad_fork():
        message = f"device is {device}, and this process was forked from one that had used CUDA"
        fix = 'Start processes with multiprocessing\'s "spawn" or "forkserver"'
        raise NormropeError("device-error", message, fix)
    if not torch.cuda.is_available():
        raise NormropeError("no-device", f"device is {device}, and torch sees no GPU", "See `normrope doctor`")
    return "cuda", _arch_of(torch.cuda.current_device() if found.index is None else found.index)


@functools.cache
def _arch_of(index: int) -> str:
    major, minor = torch.cuda.get_device_capability(index)
    return f"sm_{major}{minor}"


def _dtype_of(tensor: Tensor) -> str:
    return _DTYPES.get(tensor.dtype, str(tensor.dtype))


def _require_tensor(name: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise invalid_argument(name, value, "a tensor, as the first is")


def _memory_of(name: str, value: Any, source: int) -> Memory:
    _require_tensor(name, value)
    if value.layout != torch.strided:
        raise unfit_argument(name, f"a tensor of layout {value.layout}", "a dense one")
    if value.is_neg():
        raise unfit_argument(name, "a tensor that torch negates when it is read", "one that is negated: .resolve_neg()")
    if value.device.type not in ("cpu", "cuda"):
        raise unfit_argument(name, f"on {value.device}", "on a CUDA device or the CPU")
    return Memory("tensor", _dtype_of(value), tuple(value.shape), value.stride(), source, device=str(value.device))


_prepared: set[tuple[Functions, int, int]] = set()


def _prepare(kernel: Kernel, index: int) -> None:
    """Loads a kernel on the current device, so that a call can be captured."""
    key = (kernel.functions, kernel.index, index)
    if key not in _prepared:
        require_no_capture(f"the kernel {kernel.id}")
        kernel.functions.require(kernel.functions.prepare(kernel.index))
        _prepared.add(key)


def _on_device(table: RopeTable, device: str, functions: Functions) -> Tensor:
    def bring(turns: Any) -> Tensor:
        require_no_capture(f"the table {table!r}")
        host = torch.frombuffer(turns, dtype=torch.int64)
        # A thread of its own has neither this one's modes nor its memory pool, which may be a CUDA graph's. It uses the
        # default stream, and waits for the copy, so every stream may read the table.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(host.to, device).result()

    memory: Tensor = table.on(device, functions, bring)
    return memory


#: Memory that CUDA graphs read besides the caller's. Nobody tells when a graph is gone, so it stays.
_captured: dict[int, Any] = {}


def keep_captured(memory: Any) -> None:
    _captured[id(memory)] = memory


def require_no_capture(what: str) -> None:
    if torch.cuda.is_current_stream_capturing():
        message = f"{what} is not on the device, and cannot be brought there while a CUDA graph is captured"
        raise NormropeError("device-error", message, "Call it once with the same parameters before the capture")
