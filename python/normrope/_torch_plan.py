"""What comes before a first launch on tensors: checks, the kernel, the table on the device, and an argument struct.

In: checked numbers and tensors. Out: a plan, which launches for all tensors of the same shape, strides, dtype and
device. On a CUDA device a first call loads the kernel there and uploads the table: neither can be done while a graph is
captured, so it is then refused.
"""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ._abi import Args, Functions, Heads
from ._buffers import host_tables
from ._call import Memory, Numbers, caller_field, pack, require_sizes
from ._kernels import Kernel, Place, kernel_for
from ._library import Target
from ._rope import Rope, Table, Tables, clock, turns_of
from ._torch_names import check, is_in_bad_fork, stream_of
from .errors import NormropeError, invalid_argument, unfit_argument

_DTYPES = {torch.bfloat16: "bf16", torch.float16: "f16", torch.int32: "int32", torch.int64: "int64"}
_ELEMENT_BYTES = 2
_WORD_BYTES = 8
_DEFAULT_STREAM = 0


def _word(side: str, field: str) -> int:
    """Where a field of `normrope_heads` lies in `normrope_args`, as words."""
    offset: int = getattr(Args, side).offset + getattr(Heads, field).offset
    return offset // _WORD_BYTES


_Q_IN, _Q_OUT, _Q_WEIGHT = (_word("q", field) for field in ("in_", "out", "weight"))
_K_IN, _K_OUT, _K_WEIGHT = (_word("k", field) for field in ("in_", "out", "weight"))
_POSITIONS, _NUM_TOKENS = (getattr(Args, field).offset // _WORD_BYTES for field in ("positions", "num_tokens"))
_Words = ctypes.c_int64 * (ctypes.sizeof(Args) // _WORD_BYTES)


class Plan:
    """An argument struct that is complete but for pointers and the number of tokens."""

    __slots__ = ("_address", "_args", "_functions", "_index", "_k_offset", "_kernel", "_run", "_words", "table")

    def __init__(self, kernel: Kernel, args: Args, k_offset: int, table: Table, index: int) -> None:
        """`index` is that of a CUDA device, -1 for the CPU; `k_offset` is in bytes."""
        self._args = args
        self._words = _Words.from_buffer(args)
        self._address = ctypes.addressof(args)
        self._functions = kernel.library.functions
        self._run = self._functions.run
        self._kernel = kernel.index
        self._k_offset = k_offset
        self._index = index
        self.table = table

    def launch(self, memory: Any, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, position_ids: Tensor) -> None:
        """`memory` is that of the table: the caller holds it, so that it is not freed under a launch."""
        index = self._index
        if index < 0:
            return self._submit(None, qkv, q_weight, k_weight, position_ids)
        if _device_count() == 1:
            return self._launch_on_device(memory, qkv, q_weight, k_weight, position_ids)
        with torch.cuda.device(index) if torch.cuda.current_device() != index else nullcontext():
            # The library has a CUDA runtime of its own, which need not know torch's current device.
            self._functions.require(self._functions.device_set(index))
            return self._launch_on_device(memory, qkv, q_weight, k_weight, position_ids)

    def _launch_on_device(
        self, memory: Any, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, position_ids: Tensor
    ) -> None:
        table, stream = self.table, stream_of(self._index)
        if stream not in table.streams:
            table.streams.add(stream)
        if not table.is_captured and torch.cuda.is_current_stream_capturing():
            table.is_captured = True
            _captured.append(memory)
        self._submit(stream, qkv, q_weight, k_weight, position_ids)
        if table.memory is None:  # another thread evicted it, and did not know of this launch
            _release_device_table(table, memory)

    def _submit(
        self, stream: int | None, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, position_ids: Tensor
    ) -> None:
        self.table.stamp = next(clock)
        words = self._words
        words[_Q_IN] = words[_Q_OUT] = address = qkv.data_ptr()
        words[_K_IN] = words[_K_OUT] = address + self._k_offset
        words[_Q_WEIGHT] = q_weight.data_ptr()
        words[_K_WEIGHT] = k_weight.data_ptr()
        words[_POSITIONS] = position_ids.data_ptr()
        words[_NUM_TOKENS] = position_ids.numel()
        status = self._run(self._kernel, self._address, stream)
        if status != 0:
            self._functions.require(status, caller_field)


def make_plan(numbers: Numbers, qkv: Tensor, q_weight: Any, k_weight: Any, position_ids: Any, library: Place) -> Plan:
    """Checks the tensors, finds the kernel and the table, and prepares both on the device.

    Raises NormropeError: `invalid-argument`, `kernel-not-found`, `library-not-found`, `library-invalid`,
    `cpu-unsupported`, `no-device`, `out-of-memory`, `device-error`.
    """
    packed = _memory_of("qkv", qkv)
    q, k = _memory_of("q_weight", q_weight), _memory_of("k_weight", k_weight)
    positions = _memory_of("position_ids", position_ids)
    _require_dtype_and_rank(packed)
    target, arch = target_of(qkv.device)
    kernel = kernel_for(numbers.point(packed.dtype), target, arch, library)
    require_sizes(numbers, packed, q, k, positions)
    rope, functions = numbers.rope(), kernel.library.functions
    if target == "cpu":
        table = host_tables.get(rope, packed.device, functions)
        index = -1
    else:
        index = qkv.device.index
        with torch.cuda.device(index):
            functions.require(functions.device_set(index))
            _prepare(kernel, index)
            table = _device_tables.get(rope, packed.device, functions)
    args = pack(numbers, packed, q, k, positions, table)
    return Plan(kernel, args, numbers.num_heads_q * numbers.head_dim * _ELEMENT_BYTES, table, index)


def check_fake(numbers: Numbers, qkv: Tensor, q_weight: Tensor, k_weight: Tensor, position_ids: Tensor) -> None:
    """Ranks, sizes and dtypes of tensors without data. Sizes that are not known yet are checked when they are."""
    _require_dtype_and_rank(Memory("tensor", _dtype_of(qkv), tuple(qkv.shape), (), 0))
    impossible = numbers.point(_dtype_of(qkv)).impossible
    if impossible is not None:
        raise NormropeError("kernel-not-found", "there can be no kernel for this", impossible)
    if position_ids.dim() != 1:
        raise unfit_argument("position_ids", f"of rank {position_ids.dim()}", "[num_tokens]: mRoPE is not this op")
    if position_ids.dtype not in (torch.int32, torch.int64):
        raise unfit_argument("position_ids", f"a tensor of {_dtype_of(position_ids)}", "int32 or int64")
    check(
        qkv.shape[0] == position_ids.shape[0],
        lambda: f"qkv has {qkv.shape[0]} rows. It must have one for each of {position_ids.shape[0]} position_ids",
    )
    check(qkv.shape[1] == numbers.row, lambda: f"qkv has rows of {qkv.shape[1]}, not of {numbers.heads}")
    for name, weight in (("q_weight", q_weight), ("k_weight", k_weight)):
        if weight.dtype != qkv.dtype:
            raise unfit_argument(name, f"a tensor of {_dtype_of(weight)}", _dtype_of(qkv))
        if tuple(weight.shape) != (numbers.head_dim,):
            raise unfit_argument(name, f"a tensor of shape {list(weight.shape)}", f"[{numbers.head_dim}]")


def require_no_grad(**tensors: Tensor) -> None:
    """There is no backward: what requires grad would get a wrong one, in silence. Without grad mode it gets none."""
    if not torch.is_grad_enabled():
        return
    for name, tensor in tensors.items():
        if tensor.requires_grad:
            fix = "Call it under torch.no_grad() or torch.inference_mode(): the op has no backward"
            raise NormropeError("invalid-argument", f"{name} is a tensor that requires grad", fix)


def target_of(device: Any) -> tuple[Target, str]:
    """Target and architecture of a device; of None those of the current GPU where there is one, else the CPU's."""
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


def _require_dtype_and_rank(qkv: Memory) -> None:
    if qkv.dtype not in ("bf16", "f16"):
        raise unfit_argument("qkv", f"a tensor of {qkv.dtype}", "of bf16 or f16")
    if len(qkv.shape) != 2:
        raise unfit_argument("qkv", qkv.described, "of rank 2, [num_tokens, heads * head_dim]")


def _dtype_of(tensor: Tensor) -> str:
    return _DTYPES.get(tensor.dtype, str(tensor.dtype))


def _memory_of(name: str, value: Any) -> Memory:
    if not isinstance(value, Tensor):
        raise invalid_argument(name, value, "a tensor, as qkv is")
    if value.layout != torch.strided:
        raise unfit_argument(name, f"a tensor of layout {value.layout}", "a dense one")
    if value.is_neg():
        raise unfit_argument(name, "a tensor that torch negates when it is read", "one that is negated: .resolve_neg()")
    if value.device.type not in ("cpu", "cuda"):
        raise unfit_argument(name, f"on {value.device}", "on a CUDA device or the CPU")
    shape, strides = tuple(value.shape), value.stride()
    return Memory("tensor", _dtype_of(value), shape, strides, value.data_ptr(), str(value.device))


_prepared: set[tuple[Functions, int, int]] = set()


def _prepare(kernel: Kernel, index: int) -> None:
    """Loads a kernel on the current device, so that the next call can be captured."""
    key = (kernel.library.functions, kernel.index, index)
    if key not in _prepared:
        _require_no_capture(f"the kernel {kernel.id}")
        kernel.library.functions.require(kernel.library.functions.prepare(kernel.index))
        _prepared.add(key)


def _device_table(rope: Rope, device: str, functions: Functions) -> Table:
    _require_no_capture(f"the RoPE table of {rope}")
    host = torch.frombuffer(turns_of(rope, functions), dtype=torch.int64)
    # In a thread of its own, which allocates neither to a pool of this one's, as CUDA graphs have, nor under its modes;
    # and on the default stream. It waits for the copy, so that every stream may read the table.
    with ThreadPoolExecutor(1) as thread:
        memory = thread.submit(host.to, device).result()
    return Table(memory.data_ptr(), memory)


def _release_device_table(table: Table, memory: Tensor) -> None:
    """Gives the memory back when the kernels that may read it have finished: torch's allocator sees to that."""
    for stream in list(table.streams):
        if stream != _DEFAULT_STREAM:  # which the memory belongs to
            memory.record_stream(torch.cuda.ExternalStream(stream, device=memory.device))


_device_tables = Tables(_device_table, _release_device_table)

#: Memory of tables that CUDA graphs hold. Nobody says when a graph is gone, so they stay.
_captured: list[Tensor] = []


def _require_no_capture(what: str) -> None:
    if torch.cuda.is_current_stream_capturing():
        message = f"{what} is not on the device, and cannot be brought there while a CUDA graph is captured"
        raise NormropeError("device-error", message, "Call it once with the same parameters before the capture")


@functools.cache
def _device_count() -> int:
    count: int = torch.cuda.device_count()
    return count
