"""As SGLang loads plugins: once in a process, each called without arguments, and no error stops it."""

import logging
from importlib.metadata import entry_points

_plugins_loaded = False


def load_plugins():
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for point in entry_points(group="sglang.srt.plugins"):
        try:
            point.load()()
        except Exception:
            logging.exception("a plugin failed")
