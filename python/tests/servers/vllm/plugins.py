"""As vLLM loads plugins: once in a process; an error in one ends the process."""

from importlib.metadata import entry_points

plugins_loaded = False


def load_general_plugins():
    global plugins_loaded
    if plugins_loaded:
        return
    plugins_loaded = True
    for function in [point.load() for point in entry_points(group="vllm.general_plugins")]:
        function()
