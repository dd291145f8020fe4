"""The functions by others' signatures on CPU tensors, with the CPU library. Skipped where torch is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None

from normrope._dispatch import why_unfit

if why_unfit(torch) is not None:
    raise unittest.SkipTest(f"needs another torch: {why_unfit(torch)}")

from built import REPOSITORY
from dropin_cases import DropInCases
from dropin_compiled import CompileCases
from dropin_refused import RefusedCases


class Cpu(DropInCases, CompileCases, RefusedCases):
    device = "cpu"

    def test_the_benchmark_of_calls_runs(self) -> None:
        """Where there is a GPU, it is hidden."""
        program = REPOSITORY / "python" / "bench_overhead.py"
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-W", "ignore", str(program), "--runs", "1", "--calls", "2"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        times = json.loads(done.stdout)["microseconds"]
        self.assertIn("normrope.vllm.fused_qk_norm_rope", times)
        self.assertTrue(all(time > 0 for time in times.values()))


del CompileCases, DropInCases, RefusedCases  # they have no device

if __name__ == "__main__":
    unittest.main()
