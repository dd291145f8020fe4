"""As vLLM starts: plugins in the front process. A spawned worker loads them again; one that is forked has them."""

import json
import multiprocessing
import sys

from vllm.plugins import load_general_plugins


def run_worker(device, writer):
    load_general_plugins()
    try:
        import vllm._custom_ops  # noqa: F401
        from vllm.model_executor.models.some_model import forward

        result = forward(device)
        import normrope

        writer.send({"result": result, "launches": normrope.launches()})
    except Exception as error:
        writer.send({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    load_general_plugins()
    context = multiprocessing.get_context(sys.argv[2] if sys.argv[2:] else "spawn")
    reader, writer = context.Pipe(duplex=False)
    worker = context.Process(target=run_worker, args=(sys.argv[1], writer))
    worker.start()
    print(json.dumps([reader.recv()]))
    worker.join()
