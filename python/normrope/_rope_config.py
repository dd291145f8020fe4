"""A model's config → what its RoPE table is made from.

In: a config of transformers, or a config.json as a mapping. Out: base, rotary dim and scaling, as `RopeTable` takes
them. Old fields (`rope_theta`, `rope_scaling`) and new ones (`rope_parameters`, for all layers or by layer type) are
read as transformers 5.18.0 does, `modeling_rope_utils.py`. Must not guess: transformers' own classes fill in what a
config leaves out, and here it is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._rope_scalings import SCALINGS
from .errors import NormropeError, invalid_argument, require_count, require_in, require_positive, show, unfit_argument

_FIELDS = ("rope_parameters", "rope_scaling", "rope_theta")

Read = Callable[[str], Any]


def rope_of_config(config: Any, layer_type: str | None, head_dim: int | None, length: int | None) -> dict[str, Any]:
    """`base`, `rotary_dim` and `scaling`. Raises `invalid-argument`."""
    read = _reader(config)
    around = read("rope_parameters") or read("rope_scaling") or {}
    if not isinstance(around, Mapping):
        raise invalid_argument("config.rope_parameters", around, "a mapping, or None")
    is_by_type = any(isinstance(value, Mapping) for value in around.values())
    given = _of_type(around, layer_type) if is_by_type else around
    base = given.get("rope_theta") or read("rope_theta")
    local = read("rope_local_base_freq")
    if local is not None and not is_by_type:  # Gemma 3: sliding layers have a base of their own and no scaling
        if layer_type not in ("sliding_attention", "full_attention"):
            want = '"sliding_attention" or "full_attention": their angles differ'
            raise invalid_argument("layer_type", layer_type, want)
        base, given = (local, {}) if layer_type == "sliding_attention" else (base, given)
    if base is None:
        raise unfit_argument("config.rope_theta", "missing", "given: the base of RoPE")
    rope_type = given.get("rope_type", given.get("type")) or "default"
    if rope_type not in ("default", *SCALINGS):
        raise invalid_argument("config.rope_type", rope_type, f"one of default, {', '.join(SCALINGS)}")
    scaling = _scaling(rope_type, given, around if is_by_type else None, read, length)
    width = _head_dim(read, layer_type) if head_dim is None else require_count("head_dim", head_dim)
    # The factor of `proportional` says how many of the whole head's pairs have a frequency.
    part = width if rope_type == "proportional" else int(width * _partial(given, read))
    return {"base": base, "rotary_dim": read("rotary_dim") or part, "scaling": scaling}


def _reader(config: Any) -> Read:
    """The fields of a config, or of the text model in it."""

    def of(holder: Any) -> Read:
        return holder.get if isinstance(holder, Mapping) else lambda name: getattr(holder, name, None)

    own = of(config)
    if any(own(name) for name in _FIELDS):
        return own
    text = own("text_config")
    if text is not None and any(of(text)(name) for name in _FIELDS):
        return of(text)
    raise unfit_argument("config", f"{show(config)}, without rope_theta or rope_parameters", "a model's, with either")


def _of_type(around: Mapping[str, Any], layer_type: str | None) -> Mapping[str, Any]:
    types = [name for name, value in around.items() if isinstance(value, Mapping) or value is None]
    given = around.get(layer_type) if layer_type in types else None
    if isinstance(given, Mapping):
        return given
    if layer_type in types:
        fix = "Use a kernel without RoPE for them"
        raise NormropeError("invalid-argument", f"layers of type {show(layer_type)} have no RoPE in this config", fix)
    raise invalid_argument("layer_type", layer_type, f"one of {', '.join(types)}")


def _partial(given: Mapping[str, Any], read: Read) -> float:
    said = given.get("partial_rotary_factor")
    said = read("partial_rotary_factor") if said is None else said
    if said is None:
        return 1
    return require_in("config.partial_rotary_factor", said, {"min": 0, "is_min_excluded": True, "max": 1})


def _head_dim(read: Read, layer_type: str | None) -> int:
    # Gemma 4's full layers have wider heads. In models such as DeepSeek-V3 a part of its own rotates.
    wider = "global_head_dim" if layer_type == "full_attention" else "head_dim"
    for name in (wider, "qk_rope_head_dim", "head_dim"):
        if read(name) is not None:
            return require_count(f"config.{name}", read(name))
    heads, hidden = read("num_attention_heads"), read("hidden_size")
    if heads is None or hidden is None:
        raise unfit_argument("config.head_dim", "missing", "given, here or as head_dim")
    count, width = require_count("config.num_attention_heads", heads), require_count("config.hidden_size", hidden)
    if count > 0 and width % count == 0:
        return width // count
    raise invalid_argument("config.hidden_size", hidden, f"a multiple of num_attention_heads, {heads}")


def _scaling(
    rope_type: str, given: Mapping[str, Any], around: Mapping[str, Any] | None, read: Read, length: int | None
) -> dict[str, Any] | None:
    """`around` holds `given` and its like, if parameters are by layer type."""
    if rope_type == "default":
        return None
    # HunYuan's `dynamic` is another formula.
    is_hunyuan = str(read("model_type") or "hunyuan").startswith("hunyuan")
    rope_type = "alpha" if rope_type == "dynamic" and given.get("alpha") and is_hunyuan else rope_type
    longest = read("max_position_embeddings")
    if longest is not None:
        require_positive("config.max_position_embeddings", longest)
    # Beside parameters of all layers the original length has priority over the one among them.
    original = (None if around is not None else read("original_max_position_embeddings")) or given.get(
        "original_max_position_embeddings", longest
    )
    values = {
        "max_position_embeddings": longest,
        "length": length if length is not None or rope_type == "longrope" else longest,
        "partial_rotary_factor": _partial(given, read),
        **{name: value for name, value in given.items() if value is not None},
        "original_max_position_embeddings": original,
    }
    known = SCALINGS[rope_type]["parameters"]
    scaling: dict[str, Any] = {name: value for name, value in values.items() if name in known}
    scaling["rope_type"] = rope_type
    if rope_type == "yarn":
        flags = given if around is None else around
        # transformers reads None as no, and looks for it beside the types if there are types.
        scaling["truncate"] = flags.get("truncate", True) or False
        if "factor" not in scaling and longest is not None:
            scaling["factor"] = longest / require_positive("config.original_max_position_embeddings", original)
    return scaling
