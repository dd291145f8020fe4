"""An op of the caller's own: one of a library that was built from the caller's config.

In: the op's name and a library; tensors or buffers by the names of the table of inputs, and values of the op's axes by
theirs. Out: the same calls as those of `_op`. A name that is no input's is an axis', as the library's manifest says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._general import apply, apply_in_place, match_general, name_general, names_for, outputs_of, split, table_of
from ._inputs import NUMBERS, SIDES, TENSORS
from ._kernels import Place, op_named, require_place
from ._manifest import Target
from ._match import Form, Matched, Require
from ._memory import Memory
from ._op_rules import OpRules, listed
from .errors import NormropeError, invalid_argument, unfit_argument


class Op:
    """An op of your own, as a config of normrope defines it and a library holds it.

    It is found at the first call, and is not compiled on first use: `normrope build` makes the library.
    """

    def __init__(self, name: str, library: Place = None) -> None:
        """Of a library.

        Args:
            name: As `defineOp` has it.
            library: A library file, or a folder that holds one for each target; default: `NORMROPE_LIBRARY`, else
                `./build`.

        Raises:
            NormropeError: `invalid-argument`.
        """
        if not isinstance(name, str):
            raise invalid_argument("name", name, "the name of an op, as defineOp has it")
        require_place(library)
        self.name = name
        self.library = None if library is None else str(library)

    def __repr__(self) -> str:
        return f"Op({self.name!r}, library={self.library!r})"

    def __call__(
        self,
        q: Any = None,
        k: Any = None,
        v: Any = None,
        *,
        rope_table: Any = None,
        head_dim: int | None = None,
        heads_dim: int = -2,
        dtype: Any = None,
        pdl: bool = False,
        **named: Any,
    ) -> tuple[Any, ...]:
        """Applies the op to the heads that are given, out of place.

        Heads, weights, positions and the arguments that are spelled here are those of `qk_norm_rope`. The first of q, k
        and v that is given says on which device, in which dtype and for how many tokens the call is.

        Args:
            q: Heads; so are `k` and `v`. A side may be left out.
            rope_table: The angles, where the op rotates: a `RopeTable`, or its turns.
            named: Inputs of the kernel by their names, such as `q_out`, `k_weight`, `positions`, `eps`; and the op's
                axes that the memory does not say, such as `rope="neox"`. What the kernel does not take is refused.

        Returns:
            The results for q, k and v: what was given to write into, else new tensors; None for a side that is left
            out.

        Raises:
            NormropeError: `invalid-argument`, `kernel-not-found`, `library-not-found`, `library-invalid`,
                `cpu-unsupported`, `torch-unsupported`, `no-device`, `out-of-memory`, `device-error`; nothing was
                launched or written.
        """
        named.update(q=q, k=k, v=v)
        tensors, options = self._taken(named, head_dim, heads_dim, pdl)
        return apply(FORM, tensors, rope_table, options, dtype)

    def in_place(
        self,
        q: Any = None,
        k: Any = None,
        v: Any = None,
        *,
        rope_table: Any = None,
        head_dim: int | None = None,
        heads_dim: int = -2,
        dtype: Any = None,
        pdl: bool = False,
        **named: Any,
    ) -> None:
        """The same in place: the heads are read and written. The arguments are those of the call, but for outputs."""
        for name in _OUTPUTS:
            if named.get(name) is not None:
                raise unfit_argument(name, "given", "left out, as the call is in place")
        named.update(q=q, k=k, v=v)
        tensors, options = self._taken(named, head_dim, heads_dim, pdl)
        apply_in_place(FORM, tensors, rope_table, options, dtype)

    def _taken(self, named: dict[str, Any], *options: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Tensors and options. What is no input's name is left, and is the op's own to know."""
        tensors = tuple([named.pop(name, None) for name in _IN_CALL])
        numbers = [named.pop(name, None) for name in NUMBERS]
        return tensors, (self.name, tuple(named), *named.values(), *numbers, *options, self.library)


def _match(memories: Mapping[str, Memory], options: tuple[Any, ...], require: Require) -> Matched:
    (name, names, *values), said = split(options)
    first = next(iter(memories.values()), None)
    target: Target = "cuda" if first is not None and first.device.startswith("cuda") else "cpu"
    op = op_named(name, target, said["library"])
    axes = dict(zip(names, values, strict=True))
    for argument in axes:
        if argument not in op.arguments:
            raise NormropeError("invalid-argument", f"{argument} is no argument of {op.name}", _arguments_of(op))
    return match_general(op, axes, said, memories, require)


def _arguments_of(op: OpRules) -> str:
    tensors = [tensor.name for tensor in TENSORS if tensor.path in op.inputs]
    numbers = [name for name in NUMBERS if name in op.inputs]
    return f"Its arguments are {listed([*tensors, *numbers, *op.arguments, *_SPELLED])}"


def _by_name(tensors: tuple[Any, ...], options: tuple[Any, ...]) -> dict[str, Any]:
    (name, names, *values), said = split(options)
    axes = [f"{axis}={value}" for axis, value in zip(names, values, strict=True) if value is not None]
    return {"name": name, "axes": axes, **name_general(FORM.names, tensors, said)}


def arguments(
    name: str,
    axes: Sequence[str],
    *heads: Any,
    heads_dim: int = -2,
    pdl: bool = False,
    inv_freq: Sequence[float] | None = None,
    **named: Any,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Tensors and options of the registered ops, which torch calls without what is at its default. `axes` are spelled
    `rope=neox`."""
    named.update(zip(SIDES, heads, strict=False))
    spelled = [axis.partition("=") for axis in axes]
    values = [int(value) if value.isdigit() else value for _, _, value in spelled]
    table = None if inv_freq is None else table_of(tuple(inv_freq))
    numbers = [named.get(number) for number in NUMBERS]
    own = (name, tuple([axis for axis, _, _ in spelled]), *values)
    options = (*own, *numbers, named.get("head_dim"), heads_dim, pdl, named.get("library"), table)
    return tuple([named.get(tensor) for tensor in FORM.names]), options


FORM = Form("op", names_for(SIDES), _match, _by_name, outputs_of(SIDES))
#: Apart from the table, which may be no memory.
_IN_CALL = tuple(name for name in FORM.names if name != "rope_table")
_OUTPUTS = tuple(FORM.names[out] for out, _ in FORM.outputs)
_SPELLED = ("head_dim", "heads_dim", "dtype", "pdl")
