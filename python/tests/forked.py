"""Runs a call in a child of this process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import normrope

_LIMIT_S = 20


def said_by_child(call: Callable[[], object]) -> str:
    """The text of the error, empty where there was none, or that it hangs."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            call()
        except normrope.NormropeError as error:
            os.write(writes, f"{error.code} {error}".encode())
        except BaseException as error:
            os.write(writes, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writes)
    end = time.monotonic() + _LIMIT_S
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "it hangs"
        time.sleep(0.01)
    with os.fdopen(reads, "rb") as said:
        return said.read().decode()
