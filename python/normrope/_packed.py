"""What the drop-ins for other projects' ops share: rows of heads side by side, and axes of pairs as models keep them.

In: arguments as a caller of the other op passes them. Out: the same as the general functions take them. Raises
`invalid-argument` in the caller's words.
"""

from __future__ import annotations

from array import array
from typing import Any

from ._dispatch import find_torch_op
from ._pair_axes import pair_axes
from .errors import NormropeError, invalid_argument, require_count, unfit_argument

#: The caller's name for the parts of a row.
PACKED = {"q": "qkv", "k": "qkv", "v": "qkv"}


def columns_of(qkv: Any, num_heads_q: Any, num_heads_k: Any, num_heads_v: Any, head_dim: Any) -> tuple[slice, ...]:
    """Where q, k and v are in `[num_tokens, (num_heads_q + num_heads_k + num_heads_v) * head_dim]`."""
    named = {"num_heads_q": num_heads_q, "num_heads_k": num_heads_k, "num_heads_v": num_heads_v, "head_dim": head_dim}
    *counts, dim = [require_count(name, value) for name, value in named.items()]
    _require_rows("qkv", qkv, counts, dim)
    q, k, v = counts
    return slice(0, q * dim), slice(q * dim, (q + k) * dim), slice((q + k) * dim, (q + k + v) * dim)


def heads_of(name: str, rows: Any, num_heads: int, head_dim: int) -> Any:
    """The tensor `[num_tokens, num_heads, head_dim]` of rows, as a view."""
    _require_rows(name, rows, [num_heads], head_dim)
    return require_tensor(name, rows).unflatten(1, (num_heads, head_dim))


def require_tensor(name: str, value: Any, want: str = "a tensor") -> Any:
    op = find_torch_op()
    if op is None or not isinstance(value, op.Tensor):
        raise invalid_argument(name, value, want)
    return value


def _require_rows(name: str, rows: Any, counts: list[int], head_dim: int) -> None:
    shape = getattr(rows, "shape", None)
    if shape is None or isinstance(rows, memoryview):  # which cannot be taken apart
        raise invalid_argument(name, rows, "a tensor, or an array of numpy's")
    width = sum(counts) * head_dim
    if len(shape) != 2 or shape[1] != width:
        want = f"[num_tokens, {width}]: rows of {' + '.join(map(str, counts))} heads of {head_dim}"
        raise unfit_argument(name, f"a tensor of shape {list(shape)}", want)


def section_axes(name: str, sections: tuple[Any, ...], rotary_dim: int, device: Any) -> Any:
    """The axis of each pair on a device, as bytes, where pairs of time, height and width are interleaved. A device of
    None has plain buffers. To torch's compiler it is a constant."""
    try:
        axes = pair_axes(list(sections), "interleaved")
    except NormropeError as error:
        raise error.renamed({"sections": name}) from None
    if len(sections) != 3 or len(axes) != rotary_dim // 2:
        want = f"three numbers, of time, height and width, with a sum of {rotary_dim // 2}: rotary_dim / 2"
        raise unfit_argument(name, f"{list(sections)}", want)
    if device is None:
        return axes
    from ._torch_axes import on_device

    return on_device(bytes(axes), device)


def axes_as_bytes(name: str, axes: Any) -> Any:
    """The axis of each pair as bytes, of integers of any size."""
    op = find_torch_op()
    if op is not None and isinstance(axes, op.Tensor):
        from ._torch_axes import as_bytes

        return as_bytes(name, axes)
    try:
        return array("B", memoryview(axes).tolist())
    except (TypeError, ValueError, OverflowError) as cause:
        raise invalid_argument(name, axes, "axes, one for each pair") from cause
