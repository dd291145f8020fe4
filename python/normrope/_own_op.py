"""An op of the caller's own: one of a library that was built from the caller's config.

In: the op's name and a library; tensors or buffers by the names of the table of inputs, and values of the op's axes by
theirs. Out: the same calls as those of `_qk_norm_rope`. A name that is no input's is an axis', as the library's
manifest says.
"""

from __future__ import annotations

from typing import Any

from ._general import OWN_FORM, apply, apply_in_place
from ._inputs import NUMBERS, TENSORS
from ._library import LibraryPath, require_library_path
from .errors import invalid_argument, unfit_argument

#: All but the table, which may be no memory.
_TENSORS = tuple(name for name in OWN_FORM.tensors if name != "rope_table")
#: Those that a call in place lacks.
_OF_OUTPUTS = tuple(tensor.name for tensor in TENSORS if tensor.is_of_output)


class Op:
    """An op of your own, as a config of normrope defines it and a library holds it.

    It is found at the first call, and is not compiled on first use: `normrope build` makes the library.
    """

    def __init__(self, name: str, library: LibraryPath = None) -> None:
        """An op of a library.

        Args:
            name: As `defineOp` has it.
            library: A library file, or a folder that holds one for each target; default: `NORMROPE_LIBRARY`, else
                `./build`.

        Raises:
            NormropeError: `invalid-argument`.
        """
        if not isinstance(name, str):
            raise invalid_argument("name", name, "the name of an op, as defineOp has it")
        require_library_path(library)
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
        cache_only: bool = False,
        out_dtype: Any = None,
        pdl: bool = False,
        **named: Any,
    ) -> tuple[Any, ...]:
        """Applies the op to the heads that are given, out of place.

        Arguments that `qk_norm_rope` has too mean the same. The first of q, k and v that is given decides device, dtype
        and number of tokens.

        Args:
            q: Heads; so are `k` and `v`. A side may be left out.
            rope_table: The angles, if the op rotates: a `RopeTable`, or its turns.
            named: Inputs of the kernel by name, such as `q_out`, `k_weight`, `positions`, `eps`; and axes of the op
                that do not follow from the heads, such as `rope="neox"`. What the kernel does not take is refused.

        Returns:
            The results for q, k and v: the outputs that are given, else new tensors; None for a side that is left out,
            or that only goes into its cache.

        Raises:
            NormropeError: `invalid-argument`, `kernel-not-found`, `library-not-found`, `library-invalid`,
                `cpu-unsupported`, `torch-unsupported`, `no-device`, `out-of-memory`, `device-error`; nothing was
                launched or written.
        """
        named.update(q=q, k=k, v=v)
        tensors, options = self._taken(named, head_dim, heads_dim, cache_only, out_dtype, pdl)
        return apply(OWN_FORM, tensors, rope_table, options, dtype)

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
        cache_only: bool = False,
        pdl: bool = False,
        **named: Any,
    ) -> None:
        """The same in place: the heads are read and written. The arguments are those of the call, but for outputs."""
        for name in (*_OF_OUTPUTS, "out_dtype"):
            if named.get(name) is not None:
                raise unfit_argument(name, "given", "left out, as the call is in place")
        named.update(q=q, k=k, v=v)
        tensors, options = self._taken(named, head_dim, heads_dim, cache_only, None, pdl)
        apply_in_place(OWN_FORM, tensors, rope_table, options, dtype)

    def _taken(self, named: dict[str, Any], *options: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Tensors and options. Names of no input are left: they are for the op to know."""
        tensors = tuple([named.pop(name, None) for name in _TENSORS])
        numbers = [named.pop(name, None) for name in NUMBERS]
        return tensors, (self.name, tuple(named.items()), *numbers, *options, self.library)
