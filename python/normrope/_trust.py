"""Whether others could have written what is about to be loaded.

In: a path. Out: why it is not to be trusted, or None. The rule is that of generator/cache/folder.ts. What a user names
is theirs to trust; this is for what is found.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_GROUP_OR_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def distrust(*paths: Path, writable: int = _GROUP_OR_OTHERS_MAY_WRITE) -> str | None:
    """The first of the paths that another user than root could have written to, with its owner and mode."""
    for path in paths:
        found = path.stat()
        if found.st_uid not in (0, os.getuid()) or found.st_mode & writable:
            return _described(path, found)
    return None


def distrust_above(path: Path) -> str | None:
    """The same of the folders that lead there: only what everybody may write to, and not where, as in /tmp, nobody
    can put theirs in the place of somebody else's."""
    for folder in path.resolve().parents:
        found = folder.stat()
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            return _described(folder, found)
    return None


def _described(path: Path, found: os.stat_result) -> str:
    mode = stat.S_IMODE(found.st_mode)
    owner = f"{path} belongs to uid {found.st_uid} with mode {mode:o}, and this is uid {os.getuid()}"
    return f"others may write to it: {owner}"
