"""Whether others could have written what is about to be loaded.

In: a path. Out: why it is not to be trusted, or None. The rule is that of generator/cache/folder.ts. Users may trust
what they name; this is for what is found.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_GROUP_OR_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def distrust(*paths: Path, writable: int = _GROUP_OR_OTHERS_MAY_WRITE) -> str | None:
    """Names the first of the paths that a user other than root and this one could have written to."""
    for path in paths:
        found = path.stat()
        if found.st_uid not in (0, os.getuid()) or found.st_mode & writable:
            return _described(path, found)
    return None


def distrust_above(path: Path) -> str | None:
    """The same for the folders above. Only those that everybody may write to are refused; a sticky one such as /tmp is
    not, because nobody can replace another user's files there."""
    for folder in path.resolve().parents:
        found = folder.stat()
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return _described(folder, found)
    return None


def _described(path: Path, found: os.stat_result) -> str:
    mode = stat.S_IMODE(found.st_mode)
    owner = f"{path} belongs to uid {found.st_uid} with mode {mode:o}, and this is uid {os.getuid()}"
    return f"others may write to it: {owner}"
