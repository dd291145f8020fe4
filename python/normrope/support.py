"""Whether there is a kernel for a point: SGLang's models ask before they use the op.

In: head_dim, style, dtype and other axes. Out: yes, or the reason why not. A kernel that is missing is compiled, so
that the first call need not.
"""

from __future__ import annotations

import sys
from typing import Any

from ._dispatch import find_torch_op, require_version
from ._kernels import kernel_for
from ._library import LibraryPath
from ._op_rules import SHIPPED, listed, snake
from ._point import as_int, point_of
from .errors import NormropeError, invalid_argument, show

#: Axes that have an argument of their own here.
_SAID = ("headDim", "rotaryDim", "rope", "dtype")
#: The others, by their names as arguments.
_AXES = {snake(axis["name"]): axis["name"] for axis in SHIPPED.axes if axis["name"] not in _SAID}


def can_use_fused_qk_norm_rope(
    head_dim: int,
    is_neox: bool,
    dtype: Any,
    yarn: bool = False,
    *,
    rotary_dim: int | None = None,
    device: Any = None,
    library: LibraryPath = None,
    **axes: Any,
) -> bool:
    """Whether there is a kernel for a head_dim, style and dtype. It is compiled if it must be.

    Args:
        dtype: torch.bfloat16, torch.float16, or their names, such as "bf16".
        yarn: Of no effect, because every scaling is only another table. SGLang passes it.
        rotary_dim: Elements of a head that rotate; default `head_dim`. With 0 nothing rotates.
        device: "cpu", "cuda", "cuda:1" or a torch.device; default: the current GPU if torch was imported and sees one,
            else the CPU.
        library: As in `fused_qk_norm_rope`.
        axes: What `qk_norm_rope` would do besides: its arguments `norm`, `weight`, `norm_rounding`, `rotary_at`,
            `rope_rounding`, `value`; and what its tensors would say: `weight_dtype`, `bias`, `angles`, `position_axes`,
            `cache` and `out` ("same" or "e4m3").
    """
    reason = why_not(head_dim, is_neox, dtype, yarn, rotary_dim=rotary_dim, device=device, library=library, **axes)
    return reason is None


def why_not(
    head_dim: int,
    is_neox: bool,
    dtype: Any,
    yarn: bool = False,
    *,
    rotary_dim: int | None = None,
    device: Any = None,
    library: LibraryPath = None,
    **axes: Any,
) -> str | None:
    """Why `can_use_fused_qk_norm_rope` says no, and what would help; None if it says yes."""
    find_torch_op()  # it makes the answer a constant for torch's compiler
    return answer(head_dim, is_neox, dtype, rotary_dim, device, library, tuple(axes.items()))


def has_kernel(
    heads: Any,
    head_dim: int,
    is_neox: bool,
    rotary_dim: int | None,
    q_weight: Any,
    cos_sin: Any = None,
    **axes: Any,
) -> bool:
    """Whether a call on such tensors finds a kernel. A function that is being compiled may ask."""
    own, f32 = str(heads.dtype), "torch.float32"
    weights = {own: "same", f32: "f32"}.get(str(q_weight.dtype))
    angles = "table" if cos_sin is None else {own: "cos_sin", f32: "cos_sin_f32"}.get(str(cos_sin.dtype))
    if weights is None or angles is None:
        return False
    axes |= {"weight_dtype": weights} | ({"angles": angles} if rotary_dim != 0 else {})
    # A trace may know numbers as symbols. A range makes numbers of them.
    head_dim, rotary_dim = len(range(head_dim)), None if rotary_dim is None else len(range(rotary_dim))
    return why_not(head_dim, is_neox, heads.dtype, rotary_dim=rotary_dim, device=heads.device, **axes) is None


def answer(
    head_dim: int,
    is_neox: bool,
    dtype: Any,
    rotary_dim: int | None,
    device: Any,
    library: LibraryPath,
    axes: tuple[tuple[str, Any], ...],
) -> str | None:
    """The same. A function that is being compiled has the answer of when it is traced."""
    try:
        target, arch = _target_of(device)
        unknown = next((name for name, _ in axes if name not in _AXES), None)
        if unknown is not None:
            message = f"{unknown} is no axis of {SHIPPED.name}"
            raise NormropeError("invalid-argument", message, f"Others are {listed(list(_AXES))}")
        own = {_AXES[name]: as_int(value) for name, value in axes}
        kernel_for(point_of(head_dim, rotary_dim, is_neox, dtype, own), target, arch, library)
    except NormropeError as error:
        return str(error)
    return None


def _target_of(device: Any) -> Any:
    """Target and architecture. Raises `invalid-argument`, `no-device`, `torch-unsupported`."""
    op = find_torch_op()
    if op is not None:
        return op.target_of(device)
    if device is None or str(device) == "cpu":
        return "cpu", ""
    if str(device).partition(":")[0] == "cuda":
        if "torch" in sys.modules:
            require_version(sys.modules["torch"])
        raise NormropeError("no-device", f"device is {show(device)}, and torch was not imported", "Import torch first")
    raise invalid_argument("device", device, '"cpu" or "cuda"')
