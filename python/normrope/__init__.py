"""Norm and rotary embedding of heads, in one pass: normrope from Python.

In: what docs/python.md describes. Out: the public names. Importing needs neither torch nor numpy; where torch was
imported before, its ops are registered at once.
"""

from . import sglang, tensorrt_llm, vllm
from ._dispatch import find_torch_op
from ._fused import fused_qk_norm_rope
from ._launches import launches
from ._own_op import Op
from ._pair_axes import pair_axes
from ._patch import Patch
from ._qk_norm_rope import qk_norm_rope, qk_norm_rope_
from ._rope import RopeTable
from ._version import __version__
from .errors import NormropeError
from .plugins import patch_sglang, patch_vllm
from .support import can_use_fused_qk_norm_rope, why_not

__all__ = [
    "NormropeError",
    "Op",
    "Patch",
    "RopeTable",
    "__version__",
    "can_use_fused_qk_norm_rope",
    "fused_qk_norm_rope",
    "launches",
    "pair_axes",
    "patch_sglang",
    "patch_vllm",
    "qk_norm_rope",
    "qk_norm_rope_",
    "sglang",
    "tensorrt_llm",
    "vllm",
    "why_not",
]

find_torch_op()
