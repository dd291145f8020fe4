"""`python -m normrope`: the launches of each kernel in every process of this user that has launched any."""

from __future__ import annotations

import sys
from pathlib import Path

from ._launches import all_launches

#: Characters of a process's command.
_COMMAND_SHOWN = 100


def main() -> None:
    if sys.argv[1:]:
        sys.exit("usage: python -m normrope\n\nprints the launches of each process; it takes no arguments")
    found = all_launches()
    if not found:
        print("no process of this user has launched a kernel")
    for pid, counts in found.items():
        print(pid, _command_of(pid))
        for kernel, count in counts.items():
            print(f"  {kernel} {count}")


def _command_of(pid: int) -> str:
    try:
        text = Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return "(has ended)"
    return " ".join(text.decode(errors="replace").split())[:_COMMAND_SHOWN]


if __name__ == "__main__":
    main()
