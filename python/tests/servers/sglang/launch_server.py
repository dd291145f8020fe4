"""As SGLang starts: plugins in the launcher, then schedulers in interpreters of their own, which load them again."""

import json
import logging
import multiprocessing
import sys

from sglang.srt.plugins import load_plugins


def run_scheduler_process(device, writer):
    load_plugins()
    logging.basicConfig(level=logging.INFO, format="server: %(message)s", force=True)
    try:
        from sglang.srt.models.some_moe import Attention

        layer = Attention(device)
        result = layer.forward() if layer.is_fused else "unfused"
        import normrope

        writer.send({"result": result, "launches": normrope.launches()})
    except Exception as error:
        writer.send({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    load_plugins()
    multiprocessing.set_start_method("spawn", force=True)
    workers = []
    for _rank in range(2):
        reader, writer = multiprocessing.Pipe(duplex=False)
        worker = multiprocessing.Process(target=run_scheduler_process, args=(sys.argv[1], writer))
        worker.start()
        workers.append((worker, reader))
    print(json.dumps([reader.recv() for _, reader in workers]))
    for worker, _ in workers:
        worker.join()
