"""What the package says of points and of pair axes: for test/python_points.test.ts.

In: JSON on stdin, a list of `{"op", "values"}` with an op as a manifest has it, or `{"sections", "layout"}`. Out: JSON
on stdout, for each a list of bytes or the code of an error; or why the point is impossible, or what its kernel takes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import normrope
from normrope._inputs import TENSORS
from normrope._op_rules import OpRules
from normrope._point import complete

#: What a kernel takes besides tensors.
_NUMBERS = ("attention_factor", "eps")
#: What memory calls dtypes, and what manifests do.
_DTYPES = {"float32": "f32"}


def answer(asked: dict[str, Any]) -> Any:
    if "sections" in asked:
        try:
            return normrope.pair_axes(asked["sections"], asked["layout"]).tolist()
        except normrope.NormropeError as error:
            return error.code
    point = complete(asked["values"], OpRules.read(asked["op"]))
    if point.impossible is not None:
        return {"impossible": point.impossible}
    taken = point.taken
    assert taken is not None
    paths = {tensor.path for tensor in TENSORS} | set(_NUMBERS)
    return {
        "id": point.kernel_id,
        "point": point.values,
        "inputs": sorted(taken.inputs & paths),
        "optionalInputs": sorted(taken.optional & paths),
        "inputDtypes": {path: _DTYPES.get(dtype, dtype) for path, dtype in taken.dtypes.items() if path in paths},
        "copiedSides": sorted(taken.copied_sides),
        "positionAxes": taken.position_axes,
        "rotaryDim": taken.rotary_dim,
    }


if __name__ == "__main__":
    json.dump([answer(asked) for asked in json.load(sys.stdin)], sys.stdout)
