"""The launches of each kernel: of this process, of another, and on the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unittest
from array import array
from pathlib import Path
from typing import Any

import normrope
from built import SINGLE_ID, build
from case import NormropeCase
from normrope import _launches

HAS_NAMESPACES = (
    shutil.which("unshare") is not None
    and subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True).returncode == 0
)

#: Launches three times, says so, and ends when its input does.
PROGRAM = f"""
import sys
sys.path[:0] = {[os.path.dirname(__file__)]!r}
from test_launches import launch
for _ in range(3):
    launch()
print("ready", flush=True)
sys.stdin.read()
"""


def launch(**changed: Any) -> None:
    one, dim = 0x3F80, 96
    weight, positions = array("H", [one]) * dim, array("q", [0])
    given = dict(q_weight=weight, k_weight=weight, base=1e4, is_neox=True, position_ids=positions, eps=0.0)
    given |= dict(factor=1.0, low=0.0, high=0.0, attention_factor=1.0, dtype="bf16", library=build("single"))
    heads = dict(num_heads_q=1, num_heads_k=1, num_heads_v=1, head_dim=dim)
    normrope.fused_qk_norm_rope(array("H", [one]) * (3 * dim), **heads, **given | changed)


class Launches(NormropeCase):
    def run_python(self, *arguments: str) -> str:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, check=True)
        return done.stdout

    def test_count_in_this_process_but_for_calls_that_are_refused(self) -> None:
        before = normrope.launches().get(SINGLE_ID, 0)
        launch()
        launch()
        with self.refuses("invalid-argument", "eps"):
            launch(eps=-1.0)
        self.assertEqual(normrope.launches()[SINGLE_ID], before + 2)
        self.assertEqual(normrope.launches(os.getpid()), normrope.launches())

    def test_a_fork_counts_its_own_and_shows_no_others(self) -> None:
        launch()
        counter = _launches.counter_of(SINGLE_ID)  # as a call that is kept holds it
        before = normrope.launches()
        (reads, tells), (read_on, go_on) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go_on)  # so that the child ends when this process does
            for _ in range(2):
                os.write(tells, f"{normrope.launches()}".encode())
                os.read(read_on, 1)
                launch()
            os._exit(0)
        self.addCleanup(os.waitpid, child, 0)
        for end in (reads, tells, read_on, go_on):
            self.addCleanup(os.close, end)
        self.assertEqual(os.read(reads, 100).decode(), "{}")
        with self.refuses("invalid-argument", f"pid is {child}, a process without counts"):
            normrope.launches(child)
        os.write(go_on, b".")
        self.assertEqual(os.read(reads, 100).decode(), f"{ {SINGLE_ID: 1} }")
        self.assertEqual(normrope.launches(child), {SINGLE_ID: 1})
        self.assertEqual((normrope.launches(), counter[0]), (before, before[SINGLE_ID]))

    def test_another_process_is_read_while_it_runs(self) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", PROGRAM]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            self.assertEqual(other.stdout.readline(), "ready\n")
            self.assertEqual(normrope.launches(other.pid), {SINGLE_ID: 3})
            listed = self.run_python("-m", "normrope")
            self.assertRegex(listed, rf"(?m)^{other.pid} .*python.*\n  {SINGLE_ID} 3$")
            other.communicate()
        with self.refuses("invalid-argument", f"pid is {other.pid}, a process without counts", "python -m normrope"):
            normrope.launches(other.pid)

    @unittest.skipUnless(HAS_NAMESPACES, "needs namespaces of processes, as root has")
    def test_a_process_of_a_container_is_read_by_its_pid_here(self) -> None:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = ["unshare", "--pid", "--fork", sys.executable, "-c", PROGRAM]
        with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as outer:
            assert outer.stdout is not None
            self.assertEqual(outer.stdout.readline(), "ready\n")
            inner = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            self.assertEqual([normrope.launches(int(pid)) for pid in inner], [{SINGLE_ID: 3}])
            outer.communicate()

    def test_what_is_no_process_is_refused(self) -> None:
        for pid in (-1, 0, 1.5, True, "1", 2**40):
            with self.subTest(pid=pid), self.refuses("invalid-argument", "pid is"):
                normrope.launches(pid)  # type: ignore[arg-type]
        done = subprocess.run([sys.executable, "-m", "normrope", "1"], capture_output=True, text=True, cwd="/",
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("usage: python -m normrope", done.stderr)

    def test_a_python_without_memfd_create(self) -> None:
        program = """
import os
del os.memfd_create
from normrope import _launches, launches
_launches.counter_of("kernel")[0] += 1
print(launches() == launches(os.getpid()) == {"kernel": 1})
_launches._forget()
_launches.ctypes.CDLL = lambda *_, **__: object()  # a C library that lacks it, too
_launches.counter_of("kernel")[0] += 2
print(launches())
"""
        self.assertEqual(self.run_python("-c", program), "True\n{'kernel': 2}\n")

    def test_kernels_beyond_all_rows_are_counted_together(self) -> None:
        program = """
from normrope import _launches, launches
for i in range(_launches._ROWS + 5):
    _launches.counter_of(f"kernel {i}")[0] += 1
_launches.counter_of("kernel 0")[0] += 1
counts = launches()
print(len(counts) == _launches._ROWS, counts["kernel 0"], counts["other kernels"])
"""
        self.assertEqual(self.run_python("-c", program), "True 2 6\n")
        self.assertGreater(_launches._ROWS, 1000)


if __name__ == "__main__":
    unittest.main()
