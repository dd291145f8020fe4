"""Where the results of a call go: into an output that is given, to where the heads are, or only into the KV cache.

In: the memory of a call by the names of arguments, and what its kernel takes. Out: the sides whose results have no
output yet, or a typed error. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ._inputs import TENSORS, TensorInput
from ._memory import Memory
from ._stages import Taken
from .errors import unfit_argument


def open_sides(memories: Collection[str], taken: Taken, cache_only: bool) -> tuple[str, ...]:
    """The sides whose results have no output that is given. In place they go to where the heads are; out of place, into
    new tensors. A side without results, or with results that only go into a cache, is not among them."""
    return tuple(
        tensor.side
        for tensor in TENSORS
        if tensor.is_output and tensor.side in memories and tensor.name not in memories
        if tensor.path in taken.inputs and not (cache_only and tensor.path in taken.optional)
    )


def require_caches(given: Collection[TensorInput], cache_only: bool) -> None:
    """Raises `invalid-argument` for what means nothing without a cache."""
    if any(tensor.is_cache for tensor in given):
        return
    if cache_only:
        raise unfit_argument("cache_only", "True", "False, as no cache is given")
    for tensor in given:
        if tensor.field in ("cache_scale", "slots"):
            raise unfit_argument(tensor.name, "given", "left out, as no cache is given")


def require_outputs(memories: Mapping[str, Memory], taken: Taken, cache_only: bool) -> None:
    """Raises `invalid-argument` if only some outputs are given, one is given in vain, or one cannot be written."""
    outputs = [tensor for tensor in TENSORS if tensor.is_output and tensor.name in memories]
    for tensor in outputs:
        if cache_only and tensor.path in taken.optional:
            raise unfit_argument(tensor.name, "given", "left out, as cache_only is True")
    sides = open_sides(memories, taken, cache_only)
    if outputs and sides:
        more = ", or cache_only=True" if f"{sides[0]}.out" in taken.optional else ""
        raise unfit_argument(f"{sides[0]}_out", "None", f"given, as {outputs[0].name} is{more}")
    written = [tensor.name for tensor in TENSORS if tensor.is_written and tensor.name in memories]
    for name in (*sides, *written):
        if memories[name].is_read_only:
            raise unfit_argument(name, f"a {memories[name].kind} that is read-only", "one that can be written")
