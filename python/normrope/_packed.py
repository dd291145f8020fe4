"""What the drop-ins for other projects' ops share: rows of q, k and v heads, and axes of pairs as models keep them.

In: arguments as a caller of the other op passes them. Out: the same as the general functions take them.
"""

from __future__ import annotations

import functools
import weakref
from array import array
from typing import Any

from ._dispatch import find_torch_op
from ._pair_axes import pair_axes
from .errors import invalid_argument, require_count, unfit_argument

#: The caller's name for the parts of a row.
PACKED = {"q": "qkv", "k": "qkv", "v": "qkv"}


def columns_of(qkv: Any, num_heads_q: Any, num_heads_k: Any, num_heads_v: Any, head_dim: Any) -> tuple[slice, ...]:
    """Where q, k and v are in `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`. Raises
    `invalid-argument`."""
    named = {"num_heads_q": num_heads_q, "num_heads_k": num_heads_k, "num_heads_v": num_heads_v, "head_dim": head_dim}
    *counts, dim = [require_count(name, value) for name, value in named.items()]
    shape = getattr(qkv, "shape", None)
    if shape is None:
        raise invalid_argument("qkv", qkv, "a tensor")
    row = sum(counts) * dim
    if len(shape) != 2 or shape[1] != row:
        want = f"[num_tokens, {row}]: rows of {' + '.join(map(str, counts))} heads of {dim}"
        raise unfit_argument("qkv", f"a tensor of shape {list(shape)}", want)
    q_end, k_end = counts[0] * dim, (counts[0] + counts[1]) * dim
    return slice(0, q_end), slice(q_end, k_end), slice(k_end, row)


@functools.lru_cache(64)
def section_axes(sections: tuple[int, ...], rotary_dim: int, device: Any) -> Any:
    """The interleaved axes of pairs on a device, where `sections` are the pairs of the second axis and those behind it.
    A device of None has plain buffers."""
    rest = rotary_dim // 2 - sum(sections)
    axes = pair_axes([rest, *sections], "interleaved")
    if device is None:
        return axes
    import torch

    from ._torch_plan import require_no_capture

    if device.type == "cuda" and not torch.compiler.is_compiling():
        require_no_capture("the axes of pairs")
    return torch.tensor(axes, dtype=torch.uint8, device=device)


#: The bytes of tensors of axes, by the tensors' ids; a tensor's version tells when it was written to.
_bytes: dict[int, tuple[weakref.ref[Any], int, Any]] = {}
#: Those that CUDA graphs read. Nobody tells when a graph is gone, so they stay.
_captured: list[Any] = []


def axes_as_bytes(name: str, axes: Any) -> Any:
    """The axis of each pair as bytes, of integers of any size. Those of a tensor are made once. Raises
    `invalid-argument`."""
    op = find_torch_op()
    if op is None or not isinstance(axes, op.Tensor):
        try:
            return array("B", memoryview(axes).tolist())
        except (TypeError, ValueError, OverflowError) as cause:
            raise invalid_argument(name, axes, "axes, one for each pair") from cause
    import torch

    if op.is_compiling() or axes.is_inference():
        return axes.to(torch.uint8)
    is_captured = axes.is_cuda and torch.cuda.is_current_stream_capturing()
    owner, version, made = _bytes.get(id(axes), (None, 0, None))
    if owner is not None and owner() is axes and version == axes._version:
        _captured.extend([made] if is_captured else [])
        return made
    made = axes.to(torch.uint8)
    if is_captured:
        return made
    if not torch.equal(made.to(axes.dtype), axes):  # which also waits, so that other streams may read it
        raise unfit_argument(name, "a tensor of other numbers", "axes, one for each pair")
    key = id(axes)
    _bytes[key] = weakref.ref(axes, lambda _: _bytes.pop(key, None)), axes._version, made
    return made
