"""What SGLang and vLLM load in each of their processes, by the entry points of this package; and the same by hand.

In: the servers' modules, which are imported here. Out: their functions replaced, and one line in the log that says so,
or why not. `NORMROPE_PLUGINS=0` turns the entry points off.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from . import sglang as own_sglang
from . import vllm as own_vllm
from ._patch import Patch, Replace, import_modules, log, or_original, override_op, replace_in_modules
from ._version import __version__
from .errors import NormropeError, show
from .support import has_kernel

#: Where SGLang's functions have been, oldest first.
SGLANG_MODULES = (
    "sgl_kernel",
    "sgl_kernel.moe",
    "sglang.jit_kernel.fused_qknorm_rope",
    "sglang.kernels.ops.attention.fused_qknorm_rope",
    "sglang.kernels.ops.attention.fused_qk_norm_mrope",
)

#: Loads the library of vLLM's ops.
VLLM_OPS = "vllm._custom_ops"
VLLM_GATE = "vllm.model_executor.layers.fused_qk_norm_rope"


def _either(original: Callable[..., Any]) -> Callable[..., Any]:
    """SGLang's question, of ours and of the original: either can run what follows."""

    @functools.wraps(own_sglang.can_use_fused_qk_norm_rope)
    def can_use(*given: Any, **named: Any) -> bool:
        return own_sglang.can_use_fused_qk_norm_rope(*given, **named) or bool(original(*given, **named))

    return can_use


def _has_rope_kernel(call: Mapping[str, Any]) -> bool:
    return has_kernel(call["qkv"], call["head_dim"], call["is_neox"], call.get("rotary_dim"), call["q_weight"])


def _never(_: Mapping[str, Any]) -> bool:
    """SGLang does not call it in what it compiles."""
    return False


_SGLANG: dict[str, Replace] = {
    "fused_qk_norm_rope": or_original(own_sglang.fused_qk_norm_rope, _has_rope_kernel),
    "fused_qk_norm_mrope": or_original(own_sglang.fused_qk_norm_mrope, _never),
    "can_use_fused_qk_norm_rope": _either,
}
_VLLM = {"fused_qk_rmsnorm_rope_gate": or_original(own_vllm.fused_qk_rmsnorm_rope_gate, own_vllm.has_gate_kernel)}


def patch_sglang() -> Patch:
    """Replaces SGLang's `fused_qk_norm_rope`, `fused_qk_norm_mrope` and `can_use_fused_qk_norm_rope` in every loaded
    module that has them by name.

    A call that normrope refuses goes to the original, with a warning in the log. A default argument, a closure or a
    partial keeps the original, so patch before models are made. A second call replaces what was imported since.

    Raises:
        NormropeError: `library-not-found`, if none of SGLang's modules can be imported, or none has the op.
    """
    modules, reasons = import_modules(SGLANG_MODULES)
    if not modules:
        fix = "Install sglang or sgl-kernel, and call it where they can be imported"
        raise NormropeError("library-not-found", f"there is no op to replace: {'; '.join(reasons)}", fix)
    if not any(hasattr(module, name) for module in modules.values() for name in _SGLANG):
        fix = "Install a version of sglang or sgl-kernel that has the op"
        message = f"there is no fused_qk_norm_rope to replace in {', '.join(modules)}"
        raise NormropeError("library-not-found", message, fix)
    return replace_in_modules(modules, _SGLANG)


def patch_vllm() -> Patch:
    """Replaces what vLLM's op `torch.ops._C.fused_qk_norm_rope` runs on CUDA, and its function
    `fused_qk_rmsnorm_rope_gate` in every loaded module that has it by name.

    A call that normrope refuses goes to the original, with a warning in the log. For the op this needs a torch with
    `torch.library.get_kernel`. A second call replaces what was imported since.

    Raises:
        NormropeError: `library-not-found`, if vLLM cannot be imported, or has neither.
    """
    modules, reasons = import_modules((VLLM_OPS, VLLM_GATE))
    op = override_op("_C::fused_qk_norm_rope", own_vllm.fused_qk_norm_rope) if VLLM_OPS in modules else None
    gates = {VLLM_GATE: modules[VLLM_GATE]} if hasattr(modules.get(VLLM_GATE), "fused_qk_rmsnorm_rope_gate") else {}
    if op is None and not gates:
        found = "; ".join(reasons) or "vLLM has neither torch.ops._C.fused_qk_norm_rope nor fused_qk_rmsnorm_rope_gate"
        raise NormropeError("library-not-found", f"there is no op to replace: {found}", "Install a vllm that has one")
    patch = replace_in_modules(gates, _VLLM)
    return patch if op is None else op + patch


def load_sglang() -> None:
    """The entry point in the group `sglang.srt.plugins`."""
    _load("SGLang", patch_sglang)


def load_vllm() -> None:
    """The entry point in the group `vllm.general_plugins`."""
    _load("vLLM", patch_vllm)


def _load(server: str, patch: Callable[[], Patch]) -> None:
    """Says in one line what was replaced, or why not. A server starts without normrope, too."""
    _make_visible()
    who = f"normrope {__version__} in {server}, process {os.getpid()}"
    said = os.environ.get("NORMROPE_PLUGINS", "")
    if said == "0":
        return log.info("%s: nothing is replaced, as NORMROPE_PLUGINS is 0", who)
    if said not in ("", "1"):
        return log.warning("%s: nothing is replaced, as NORMROPE_PLUGINS is %s. Write 0, or unset it", who, show(said))
    try:
        replaced = patch().replaced
    except NormropeError as error:
        return log.warning("%s: nothing is replaced: %s", who, error)
    except Exception:
        return log.exception("%s: nothing is replaced, by a bug of normrope's", who)
    return log.info("%s replaces %s", who, ", ".join(replaced) or "nothing more")


def _make_visible() -> None:
    """Servers set up their own loggers, some of them later: where nobody listens yet, lines go to stderr."""
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    if log.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(asctime)s %(message)s"))
    log.addHandler(handler)
    log.propagate = False
