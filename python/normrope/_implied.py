"""What the tensors of a call say of its point: axes that have no argument of their own.

In: the memory of a call by the names of arguments, and its table of angles. Out: the values of these axes, and the
sizes that follow. Whether a kernel takes the tensors is not decided here. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._inputs import AXES, TENSORS, TensorInput
from ._memory import Memory
from ._op_rules import OpRules
from ._rope import RopeTable
from ._shapes import Sizes
from ._stages import leaves_open
from .errors import invalid_argument, unfit_argument

_AXES_MAX: int = next(axis["max"] for axis in AXES if axis["name"] == "positionAxes")

#: Arguments that mean nothing where nothing rotates.
_OF_ANGLES = ("positions", "pair_axes")


def rotary_dim_of(op: OpRules, memories: Mapping[str, Memory], table: RopeTable | None, said: Iterable[str]) -> int:
    """Elements of a head that rotate: as many as there are angles for. `said` are the arguments of axes that are given.

    Raises `invalid-argument` if there are two kinds of angles, or none and something needs them.
    """
    turns, rows = memories.get("rope_table"), memories.get("cos_sin")
    if rows is not None:
        if turns is not None or table is not None:
            raise unfit_argument("cos_sin", "given", "left out, as rope_table is given")
        if len(rows.shape) < 2:
            raise unfit_argument("cos_sin", rows.described, "[rows, rotary_dim]: cosines, then sines, in each row")
        return int(rows.shape[-1])
    if table is not None:
        return table.rotary_dim
    if turns is None:
        if op.has("rotaryDim"):
            _require_no_angles(op, memories, said)
        return 0
    if len(turns.shape) == 1:
        return 2 * int(turns.shape[0])
    raise unfit_argument("rope_table", turns.described, "a RopeTable, or its turns: [rotary_dim / 2]")


def _require_no_angles(op: OpRules, memories: Mapping[str, Memory], said: Iterable[str]) -> None:
    axes = (argument for argument in said if "rotaryDim" in op.arguments[argument].get("when", {}))
    needs = next((name for name in (*_OF_ANGLES, *axes) if name in memories or name not in _OF_ANGLES), None)
    if needs is not None:
        want = f"given, or cos_sin, as {needs} is; or leave out {needs}, and nothing rotates"
        raise invalid_argument("rope_table", None, want)


def sizes_of(memories: Mapping[str, Memory], leader: str, sides: Iterable[str], rotary_dim: int) -> Sizes:
    """`memories` have the dimensions of heads in order. Raises `invalid-argument` for positions of a wrong rank."""
    first = memories[leader]
    positions, rows = memories.get("positions"), memories.get("cos_sin")
    return Sizes(
        tokens=first.shape[:-2],
        # A kernel is for one head_dim, so a symbol of a trace gets its value.
        head_dim=int(first.shape[-1]),
        num_heads={side: memories[side].shape[-2] for side in sides},
        rotary_dim=rotary_dim,
        position_axes=_position_axes(positions, "pair_axes" in memories, len(first.shape) - 2),
        rows=None if rows is None or positions is None else rows.shape[0],
        **_sizes_of_caches(memories),
    )


def _sizes_of_caches(memories: Mapping[str, Memory]) -> dict[str, Any]:
    """The blocks of each cache, and the slots of a block by the first."""
    caches = [(tensor, memories[tensor.name]) for tensor in TENSORS if tensor.is_cache and tensor.name in memories]
    for tensor, own in caches:
        if len(own.shape) not in (3, 4):
            want = "[blocks, block_size, num_heads, head_dim], or [slots, num_heads, head_dim]"
            raise unfit_argument(tensor.name, own.described, want)
    # As with head_dim, a symbol of a trace gets its value.
    sizes = [int(own.shape[1]) if len(own.shape) == 4 else 1 for _, own in caches]
    return {
        "block_size": next(iter(sizes), 1),
        "blocks": {tensor.side: own.shape[0] for tensor, own in caches},
    }


def _position_axes(positions: Memory | None, has_pair_axes: bool, token_rank: int) -> int:
    if not has_pair_axes:
        return 1
    if positions is None:
        raise invalid_argument("positions", None, "given, as pair_axes is")
    axes = int(positions.shape[0]) if len(positions.shape) in range(2, token_rank + 2) else 0
    if 2 <= axes <= _AXES_MAX:
        return axes
    shapes = "[axes, num_tokens]" + ("" if token_rank == 1 else " or [axes, batch, num_tokens]")
    want = f"{shapes} with 2 to {_AXES_MAX} axes, as pair_axes is given"
    raise unfit_argument("positions", positions.described, want)


def implied_by(
    op: OpRules, memories: Mapping[str, Memory], sizes: Sizes, dtype: str, out_dtype: str | None
) -> dict[str, Any]:
    """The values of axes by the names of the table. `out_dtype` is that of outputs, if the caller says it. Raises
    `invalid-argument` if dtypes of weights, of outputs or of caches differ."""
    implied: dict[str, Any] = {"headDim": sizes.head_dim, "rotaryDim": sizes.rotary_dim, "dtype": dtype}
    if "cos_sin" in memories:
        implied["angles"] = "cos_sin_f32" if memories["cos_sin"].dtype == "float32" else "cos_sin"
    if sizes.position_axes > 1:
        implied["positionAxes"] = sizes.position_axes
    given = [tensor for tensor in TENSORS if tensor.name in memories]
    of_norm = [tensor for tensor in given if tensor.field in ("weight", "bias")]
    if _dtype_of_all(of_norm, memories) == "float32":
        implied["weightDtype"] = "f32"
    if any(tensor.field == "bias" for tensor in of_norm):
        implied["bias"] = "add"
    # An op may fix what becomes of a cache; then its dtype says nothing of another.
    caches = [tensor for tensor in given if tensor.is_cache and leaves_open(op.stages, tensor.side, "cache", "cache")]
    if caches:
        implied["cache"] = _as_stored(_dtype_of_all(caches, memories))
    outputs = [tensor for tensor in given if tensor.is_output]
    implied["out"] = _as_stored(_dtype_of_outputs(outputs, memories, out_dtype))
    return implied


def _as_stored(dtype: str | None) -> str:
    """The value of an axis for what is written in a dtype."""
    return "e4m3" if dtype == "e4m3" else "same"


def _dtype_of_all(tensors: Sequence[TensorInput], memories: Mapping[str, Memory]) -> str | None:
    """The dtype of all these tensors; None if there are none."""
    for tensor in tensors:
        first, own = memories[tensors[0].name], memories[tensor.name]
        if own.dtype != first.dtype:
            what = f"a {own.kind} of {own.dtype}"
            raise unfit_argument(tensor.name, what, f"{first.dtype}, as {tensors[0].name} is")
    return memories[tensors[0].name].dtype if tensors else None


def _dtype_of_outputs(
    outputs: Sequence[TensorInput], memories: Mapping[str, Memory], out_dtype: str | None
) -> str | None:
    found = _dtype_of_all(outputs, memories)
    if found is not None and out_dtype not in (None, found):
        own = memories[outputs[0].name]
        raise unfit_argument(outputs[0].name, f"a {own.kind} of {own.dtype}", f"{out_dtype}, as out_dtype is")
    return found or out_dtype
