"""A torch that is too old for the op on tensors. Needs none: what stands for one here has nothing but a version."""

from __future__ import annotations

import subprocess
import sys
import types
import unittest
from array import array
from pathlib import Path
from unittest import mock

import normrope
from built import REPOSITORY, build
from case import BufferCall, NormropeCase
from normrope import _dispatch
from normrope._dispatch import OLDEST, why_unfit
from reference import Style

#: Where Debian has its torch, which is of 1.13, and a Python that can load it.
DEBIAN = Path("/usr/lib/python3/dist-packages/torch")
DEBIAN_PYTHON = "/usr/bin/python3"

IMPORTS = """
import torch, normrope, normrope.sglang
calls = [lambda: normrope.fused_qk_norm_rope(torch.zeros(1, 192), 1, 1, 1, *[0] * 11)]
calls += [lambda: __import__("normrope.torch_op")]
for call in calls * 2:
    try:
        call()
    except normrope.NormropeError as error:
        print(error.code, error)
"""


class Tensor:
    """Stands for that of a torch that is too old."""


class Version(NormropeCase):
    def test_old_and_unknown_versions_are_refused(self) -> None:
        for version in ("2.4.0", "2.4.0a0+git1234", "2.11.0+cu130", "2.10.0.dev20260101", "3.0"):
            self.assertIsNone(why_unfit(types.SimpleNamespace(__version__=version)), version)
        for version in ("1.13.0a0", "2.3.1+cu121", "2.0", "2", "unknown", "", None):
            error = why_unfit(types.SimpleNamespace(__version__=version))
            self.assertIsNotNone(error, version)
            self.assertIn("needs 2.4 or newer. Install torch 2.4 or newer", str(error))

    def test_it_is_documented(self) -> None:
        oldest = ".".join(map(str, OLDEST))
        self.assertIn(f'torch = ["torch>={oldest}"]', (REPOSITORY / "python" / "pyproject.toml").read_text())
        self.assertIn(f"torch {oldest} or newer", (REPOSITORY / "docs" / "python.md").read_text())

    def test_tensors_are_refused_and_buffers_are_not(self) -> None:
        old = types.SimpleNamespace(__version__="2.3.1", Tensor=Tensor)
        said = "torch is 2.3.1, and the op on tensors needs 2.4 or newer"
        with mock.patch.dict(sys.modules, torch=old), mock.patch.object(_dispatch, "_torch_op", None):
            with self.refuses("torch-unsupported", said):
                normrope.fused_qk_norm_rope(Tensor(), *range(14))
            self.assertIn(said, normrope.why_not(64, True, "bf16", device="cuda") or "")
            call = BufferCall(Style(64, 64, True), array("i", [0, 5]))
            call.run(library=build())
            self.assertLessEqual(call.error(), 1)

    def test_an_old_torch(self) -> None:
        if not DEBIAN.is_dir():
            self.skipTest("needs Debian's python3-torch")
        command = [DEBIAN_PYTHON, "-c", IMPORTS]
        done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(REPOSITORY / "python")})
        lines = done.stdout.splitlines()
        if "torch is" not in done.stdout:
            self.skipTest(f"needs Debian's torch to be older than 2.4: {done.stdout}")
        self.assertEqual(len(lines), 4, done.stderr)
        for line in lines:
            self.assertRegex(line, r"^torch-unsupported torch is 1\.\S+, and the op on tensors needs 2\.4 or newer\.")


if __name__ == "__main__":
    unittest.main()
