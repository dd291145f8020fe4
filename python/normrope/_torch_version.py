"""Which torch the op on tensors can be used with.

In: the module torch. Out: nothing, or an error that names its version and the oldest that will do. Must not import
torch: one that is too old may be all that there is.
"""

from __future__ import annotations

import re
from typing import Any

from .errors import NormropeError, quoted

#: The first with `torch.library.register_fake`; all else that is used is older. Said in docs/python.md too.
OLDEST = (2, 4)


def why_unfit(torch: Any) -> NormropeError | None:
    """`torch-unsupported`; None where it will do."""
    version = getattr(torch, "__version__", None)
    found = re.match(r"(\d+)\.(\d+)", str(version))
    if found is not None and (int(found[1]), int(found[2])) >= OLDEST:
        return None
    oldest = f"{OLDEST[0]}.{OLDEST[1]}"
    message = f"torch is {quoted(version)}, and the op on tensors needs {oldest} or newer"
    return NormropeError("torch-unsupported", message, f"Install torch {oldest} or newer")


def require_version(torch: Any) -> None:
    error = why_unfit(torch)
    if error is not None:
        raise error
