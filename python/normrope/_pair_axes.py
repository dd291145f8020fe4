"""The axis whose position turns each pair, for kernels with several positions of a token.

In: how many pairs each axis turns, and how models arrange them. Out: one byte for each pair; the rules are those of
runtime/pair_axes.ts. Pure.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ._inputs import AXES
from ._point import as_int
from .errors import invalid_argument

_AXES_MAX: int = next(axis["max"] for axis in AXES if axis["name"] == "positionAxes")
#: As many as the largest head has.
_PAIRS_MAX = next(axis["max"] for axis in AXES if axis["name"] == "rotaryDim") // 2


def pair_axes(sections: Sequence[int], layout: str = "sectioned") -> array[int]:
    """`[rotary_dim / 2]` uint8: the axis of each pair, for the argument `pair_axes` of a call.

    Args:
        sections: The pairs of each axis, such as a config's `mrope_section`: one to four numbers, whose sum is
            `rotary_dim / 2`, at least 1.
        layout: "sectioned" has the pairs of axis 0, then those of axis 1, and so on, as in Qwen2-VL, axial and 2-D
            RoPE. In "interleaved" pair j turns by axis j % n as long as j < n * sections[j % n], and by axis 0 beyond,
            as in Qwen3-VL.

    Returns:
        An array of bytes, which a call on plain buffers takes as it is. `torch.tensor(…, dtype=torch.uint8)` makes a
        tensor of it.

    Raises:
        NormropeError: `invalid-argument`.
    """
    counts = [as_int(count) for count in sections] if isinstance(sections, (list, tuple)) else []
    if not 1 <= len(counts) <= _AXES_MAX or not all(type(n) is int and 0 <= n <= _PAIRS_MAX for n in counts):
        raise invalid_argument("sections", sections, f"one to four whole numbers from 0 to {_PAIRS_MAX}")
    if not 1 <= sum(counts) <= _PAIRS_MAX:
        raise invalid_argument("sections", sections, f"whole numbers with a sum from 1 to {_PAIRS_MAX}")
    if layout not in ("sectioned", "interleaved"):
        raise invalid_argument("layout", layout, "one of sectioned, interleaved")
    if layout == "sectioned":
        return array("B", [axis for axis, count in enumerate(counts) for _ in range(count)])
    axes = len(counts)
    return array("B", [j % axes if j < axes * counts[j % axes] else 0 for j in range(sum(counts))])
