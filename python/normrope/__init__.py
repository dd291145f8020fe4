"""RMSNorm and rotary embedding of every q and k head of a packed qkv, in one pass: normrope from Python.

In: what docs/python.md describes. Out: the public names. Importing needs neither torch nor numpy; where torch was
imported before, its op is registered at once.
"""

from ._op import find_torch_op, fused_qk_norm_rope
from ._version import __version__
from .errors import NormropeError
from .sglang import Patch, patch_sglang
from .support import can_use_fused_qk_norm_rope, why_not

__all__ = [
    "NormropeError",
    "Patch",
    "__version__",
    "can_use_fused_qk_norm_rope",
    "fused_qk_norm_rope",
    "patch_sglang",
    "why_not",
]

find_torch_op()
