"""The KV cache and FP8 on CUDA tensors, with a CUDA library that is built here. Needs a GPU, nvcc and torch."""

from __future__ import annotations

import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a GPU that torch sees")

import normrope
from cache_calls import SLOTS, Work
from cache_torch_calls import TensorCall
from cache_torch_cases import CacheCases


class Cuda(CacheCases):
    device = "cuda"

    def test_a_graph_reads_slots_anew(self) -> None:
        """A call with slots on the device is captured, and a replay writes where they say then."""
        for work in (Work(), Work("e4m3", scales="heads")):
            want, call, before = (TensorCall(work, self.device) for _ in range(3))
            given = {**call.heads, **call.inputs(), "cache_only": True}
            skipped = {**given, "slots": torch.full_like(given["slots"], -1)}
            normrope.qk_norm_rope(**skipped)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                normrope.qk_norm_rope(**skipped)
            graph.replay()
            torch.cuda.synchronize()
            for side, memory in call.memory.items():
                self.assert_same(memory, before.memory[side])
            skipped["slots"].copy_(torch.tensor(SLOTS))
            graph.replay()
            torch.cuda.synchronize()
            normrope.qk_norm_rope(**want.heads, **want.inputs(), cache_only=True)
            for side, memory in call.memory.items():
                self.assert_same(memory, want.memory[side])
            self.assertLessEqual(call.cache_error(), 1)


del CacheCases  # they have no device

if __name__ == "__main__":
    unittest.main()
