"""The op on CPU tensors, with the CPU library. Skipped where torch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from typing import Any
from unittest import mock

try:
    import torch
    from torch import Tensor
except ImportError:
    raise unittest.SkipTest("needs torch") from None

import normrope
from normrope._dispatch import why_unfit

if why_unfit(torch) is not None:
    raise unittest.SkipTest(f"needs another torch: {why_unfit(torch)}")

from torch.testing._internal.two_tensor import TwoTensor

from axes_torch_cases import AxesCases
from built import build
from forked import said_by_child
from general_cases import GeneralCases
from general_refused import GeneralRefusals
from normrope import _torch_launch, _torch_names, torch_op
from own_cases import OwnCases
from reference import Style
from torch_cases import Cases, TensorCall

#: In a process of its own, where a tensor that is made without a device is to lie on the GPU.
IMPORTS = """
import torch
torch.set_default_device("cuda")
import normrope, normrope.sglang, normrope.torch_op
print(torch.cuda.is_initialized(), torch.ops.normrope.fused_qk_norm_rope.default._schema.name)
"""


class Subclass(Tensor):
    """Without code of its own."""


class Cpu(Cases):
    device = "cpu"

    def test_why_not(self) -> None:
        self.assertIsNone(normrope.why_not(64, True, torch.bfloat16, device="cpu"))
        self.assertIsNone(normrope.why_not(128, True, torch.float16, rotary_dim=64, device=torch.device("cpu")))
        self.assertIn("float32", normrope.why_not(64, True, torch.float32, device="cpu") or "")
        if not torch.cuda.is_available():
            self.assertIsNone(normrope.why_not(64, True, torch.bfloat16))
            self.assertIn("torch sees no GPU", normrope.why_not(64, True, torch.bfloat16, device="cuda") or "")

    def test_the_library_is_an_argument_when_compiled_too(self) -> None:
        del os.environ["NORMROPE_LIBRARY"]
        for run in (normrope.fused_qk_norm_rope, torch.compile(normrope.fused_qk_norm_rope, fullgraph=True)):
            call = TensorCall(Style(64, 64, True), 4, self.device)
            run(*call.arguments(), library=str(build()))
            self.assertLessEqual(call.errors()[0], 1)

    def test_a_trace_and_the_profiler_see_it(self) -> None:
        call = TensorCall(Style(64, 64, True), 4, self.device)

        def layer(x: Tensor) -> Tensor:
            qkv = x + 0
            normrope.fused_qk_norm_rope(*call.arguments(qkv))
            return qkv

        want = layer(call.before)
        traced = torch.jit.trace(layer, torch.zeros_like(call.before), check_trace=False)
        self.assertTrue(torch.equal(traced(call.before), want))
        with torch.profiler.profile() as profile:
            layer(call.before)
        self.assertTrue(any("normrope" in event.key for event in profile.key_averages()))

    def test_a_bad_call_that_looks_like_an_earlier_good_one_is_refused(self) -> None:
        good = TensorCall(Style(64, 64, True), 4, self.device)
        arguments = good.arguments()
        normrope.fused_qk_norm_rope(*arguments)
        weight = good.weights[0]
        for index, value in ((11, True), (12, False), (13, False), (14, True)):
            self.assertEqual(arguments[index], value)
            wrong = [value if i == index else given for i, given in enumerate(arguments)]
            with self.subTest(index=index), self.refuses("invalid-argument", f"is {value}"):
                normrope.fused_qk_norm_rope(*wrong)
        good = TensorCall(Style(64, 64, True, "f16"), 4, self.device)
        arguments, weight = good.arguments(), good.weights[0]
        normrope.fused_qk_norm_rope(*arguments)
        for index in (6, 7):
            wrong = [torch._neg_view(weight) if i == index else given for i, given in enumerate(arguments)]
            with self.subTest(index=index), self.refuses("invalid-argument", "that torch negates", ".resolve_neg()"):
                normrope.fused_qk_norm_rope(*wrong)

    def test_weights_of_other_types(self) -> None:
        twice = (lambda weight: TwoTensor(weight, weight), 2)
        for wrap, runs in ((torch.nn.Parameter, 1), (lambda weight: weight.as_subclass(Subclass), 1), twice):
            call, plain = (TensorCall(Style(64, 64, True), 4, self.device) for _ in range(2))
            for _ in range(runs):
                plain.run()
            call.weights = [wrap(weight) for weight in call.weights]
            with torch.no_grad():
                call.run()
            self.assertTrue(torch.equal(call.qkv, plain.qkv))

    def test_inputs_over_outputs_are_refused(self) -> None:
        call = TensorCall(Style(64, 64, True, base=4321.0), 4, self.device)  # of no plan that is there
        inside = {"q_weight": (6, call.qkv[1, 64:128]), "k_weight": (7, call.qkv[0, :64])}
        inside["position_ids"] = (10, call.qkv[3].view(torch.int32)[:4])
        for name, (index, value) in inside.items():
            wrong = [value if i == index else given for i, given in enumerate(call.arguments())]
            with self.subTest(name=name), self.refuses("invalid-argument", f"{name} is over the output of"):
                normrope.fused_qk_norm_rope(*wrong)

    def test_why_not_in_a_compiled_function(self) -> None:
        torch._dynamo.reset()
        call, plain = (TensorCall(Style(64, 64, True), 4, self.device) for _ in range(2))

        def layer(*arguments: Any) -> bool:
            if normrope.can_use_fused_qk_norm_rope(64, True, torch.bfloat16, device=self.device):
                normrope.fused_qk_norm_rope(*arguments)
            return normrope.can_use_fused_qk_norm_rope(60, True, torch.bfloat16, device=self.device)

        self.assertFalse(torch.compile(layer, fullgraph=True)(*call.arguments()))
        plain.run()
        self.assertTrue(torch.equal(call.qkv, plain.qkv))

    def test_an_import_touches_no_device(self) -> None:
        command = [sys.executable, "-W", "ignore", "-c", IMPORTS]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        self.assertEqual(done.stdout, "False normrope::fused_qk_norm_rope\n", done.stderr)

    def test_the_default_device_does_not_matter(self) -> None:
        call = TensorCall(Style(64, 64, True, base=8765.0), 4, self.device)  # whose table is made in the call
        with torch.device("meta"):
            call.run()
        self.assertLessEqual(call.errors()[0], 1)

    def test_a_torch_for_rocm_is_no_cuda(self) -> None:
        with mock.patch.object(torch.version, "hip", "6.2.41133"):
            for device in ("cuda", torch.device("cuda:0")):
                said = normrope.why_not(64, True, torch.bfloat16, device=device) or ""
                self.assertIn("torch was built for ROCm 6.2.41133, where no CUDA kernel runs", said)
            self.assertIsNone(normrope.why_not(64, True, torch.bfloat16, device="cpu"))

    def test_a_torch_without_the_names_that_are_not_documented(self) -> None:
        self.assertIs(_torch_names.answering("_C.no_such_name", _torch_names.perhaps), _torch_names.perhaps)
        self.assertIs(_torch_names.answering("is_tensor", _torch_names.perhaps), _torch_names.perhaps)  # takes one
        first, second = (TensorCall(Style(64, 64, True), 4, self.device) for _ in range(2))
        first.run()
        version = second.qkv._version
        names = ("dispatch_modes", "is_transformed", "is_profiled")
        lacking = {name: _torch_names.perhaps for name in names}
        lacking["increment_versions"] = _torch_names.increment_versions_one_by_one
        tensors = (second.qkv, *second.weights, second.positions)
        self.assertFalse(_torch_launch.is_watched(tensors))
        for name, perhaps in lacking.items():
            with mock.patch.object(_torch_launch, name, perhaps):
                self.assertEqual(_torch_launch.is_watched(tensors), name in names, name)
        with mock.patch.multiple(_torch_launch, **lacking):
            second.run()
        self.assertTrue(torch.equal(first.qkv, second.qkv))
        self.assertGreater(second.qkv._version, version)
        with mock.patch.object(torch_op, "check", _torch_names.raise_unless):
            self.test_fake_tensors()

    def test_after_a_fork(self) -> None:
        call = TensorCall(Style(64, 64, True), 512, self.device)
        call.run()
        self.assertEqual(said_by_child(call.run), "")


class General(GeneralCases, GeneralRefusals):
    device = "cpu"


class OwnOps(OwnCases):
    device = "cpu"


class Axes(AxesCases):
    device = "cpu"


del Cases, GeneralCases, GeneralRefusals, OwnCases, AxesCases  # bases, and no tests of their own

if __name__ == "__main__":
    unittest.main()
