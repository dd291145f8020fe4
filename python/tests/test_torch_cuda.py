"""The op on CUDA tensors. Skipped where torch is not installed or sees no GPU."""

from __future__ import annotations

import unittest
from typing import Any
from unittest import mock

try:
    import torch
except ImportError:
    raise unittest.SkipTest("needs torch") from None
if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a GPU that torch sees")

import normrope
from axes_torch_cases import AxesCases
from general_cases import GeneralCall, GeneralCases
from general_refused import GeneralRefusals
from normrope import _torch_names, _torch_plan
from own_cases import OwnCases
from reference import Style
from torch_cases import Cases, TensorCall

STYLE = Style(128, 128, True, base=1e6)


class Cuda(Cases):
    device = "cuda"
    tokens = (1, 4, 16, 63, 128, 256, 4096)

    def call(self, tokens: int = 64, **values: Any) -> TensorCall:
        return TensorCall(Style(128, 128, True, **{"base": 1e6, **values}), tokens, self.device)

    def assert_right(self, call: TensorCall) -> None:
        torch.cuda.synchronize()
        self.assertLessEqual(call.errors()[0], 1)

    def test_heads_of_a_large_model(self) -> None:
        for style in (STYLE, Style(128, 64, False), Style(256, 256, True)):
            self.check(style, 4096, heads=(32, 8, 8))

    def test_why_not(self) -> None:
        self.assertTrue(normrope.can_use_fused_qk_norm_rope(128, True, torch.bfloat16))
        self.assertIsNone(normrope.why_not(128, True, torch.bfloat16, device="cuda:0"))

    def test_capture_and_replay(self) -> None:
        call = self.call()
        call.run()  # warms up
        call.qkv.copy_(call.before)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call.run()
        self.assertTrue(torch.equal(call.qkv, call.before), "captured and not run")
        for shift in (0, 1, 100_000):
            call.qkv.copy_(call.before)
            call.positions.add_(shift)
            graph.replay()
            self.assert_right(call)

    def test_capture_of_other_numbers_of_tokens_than_were_warmed_up(self) -> None:
        self.call(8).run()
        call = self.call(33)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call.run()
        graph.replay()
        self.assert_right(call)

    def test_a_first_call_in_a_capture_is_refused(self) -> None:
        self.call().run()
        call, other = self.call(base=1234.5), self.call()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            with self.refuses("device-error", "the table RopeTable(", "Call it once with the same parameters before"):
                call.run()
            other.run()  # the capture goes on
        graph.replay()
        self.assert_right(other)
        call.run()
        self.assert_right(call)

    def test_a_kernel_that_was_not_loaded_in_a_capture_is_refused(self) -> None:
        style = Style(256, 128, False, "f16")
        TensorCall(style, 4, self.device).run()
        _torch_plan._prepared.clear()
        call = TensorCall(style, 4, self.device)
        call.weights = [weight.clone() for weight in call.weights]
        wide = torch.cat([call.before, call.before], 1)  # another stride: another plan
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            with self.refuses(
                "device-error", "the kernel qk_norm_rope__f16_d256_r128_interleaved is not on the device"
            ):
                normrope.fused_qk_norm_rope(*call.arguments(wide[:, : call.row]))

    def test_a_graph_keeps_its_table(self) -> None:
        call = self.call(base=777.0)
        call.run()
        call.qkv.copy_(call.before)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call.run()
        for base in range(20_000, 20_064):
            self.call(4, base=float(base)).run()
        torch.cuda.empty_cache()
        filler = [torch.full((64,), -1, dtype=torch.int64, device=self.device) for _ in range(256)]
        graph.replay()
        self.assert_right(call)
        del filler

    def test_tables_that_make_room_while_other_streams_read_them(self) -> None:
        streams = [torch.cuda.Stream() for _ in range(4)]
        calls = [self.call(512, base=float(30_000 + i)) for i in range(200)]
        torch.cuda.synchronize()
        for i, call in enumerate(calls):
            with torch.cuda.stream(streams[i % 4]):
                torch.cuda._sleep(100_000)
                call.run()
        torch.cuda.synchronize()
        for call in calls:
            self.assertLessEqual(call.errors()[0], 1)

    def test_the_current_stream(self) -> None:
        call, stream = self.call(), torch.cuda.Stream()
        call.run()
        torch.cuda.synchronize()
        call.wide.zero_()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(50_000_000)  # on any other stream the call would be too early
            call.wide.copy_(call.before)
            call.run()
        stream.synchronize()
        self.assert_right(call)

    def test_a_torch_without_a_name_for_the_address_of_a_stream(self) -> None:
        for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
            with torch.cuda.stream(stream):
                self.assertEqual(_torch_names.stream_of(0), stream.cuda_stream)
                self.assertEqual(_torch_names.stream_of_current(0), stream.cuda_stream)

    def test_a_torch_for_rocm_is_no_cuda(self) -> None:
        call = self.call(base=4567.0)  # of no plan that is there
        with mock.patch.object(torch.version, "hip", "6.2"), self.refuses("no-device", "torch was built for ROCm 6.2"):
            call.run()
        self.assertTrue(torch.equal(call.qkv, call.before))
        call.run()
        self.assert_right(call)

    def test_compile_with_graphs_of_its_own(self) -> None:
        torch._dynamo.reset()
        call = self.call(16, base=987_654.0)  # which no call before has made a table for

        def layer(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
            qkv = x + 0
            normrope.fused_qk_norm_rope(*call.arguments(qkv)[:10], positions, *call.arguments()[11:])
            return qkv

        compiled = torch.compile(layer, fullgraph=True, mode="reduce-overhead")
        results = [compiled(call.before, call.positions).clone() for _ in range(4)]
        want = layer(call.before, call.positions)
        for result in results:
            self.assertTrue(torch.equal(result, want))

    def test_tensors_of_several_places(self) -> None:
        for at, name in ((6, "q_weight"), (7, "k_weight"), (10, "position_ids")):
            call = self.call()
            arguments = list(call.arguments())
            arguments[at] = arguments[at].cpu()
            with self.refuses("invalid-argument", f"{name} is on cpu. {name} must be on cuda:0"):
                normrope.fused_qk_norm_rope(*arguments)

    def test_rows_past_2_to_the_31_elements(self) -> None:
        heads, tokens = (56, 8, 8), 240_000
        if torch.cuda.get_device_properties(0).total_memory < 30e9:
            self.skipTest("needs 30 GB of GPU memory")
        ends = TensorCall(STYLE, 2, self.device, heads)
        qkv = torch.zeros(tokens, ends.row, dtype=torch.bfloat16, device=self.device)
        positions = torch.zeros(tokens, dtype=torch.int64, device=self.device)
        for at, end in ((0, 0), (-1, 1)):
            qkv[at], positions[at] = ends.before[end], ends.positions[end]
        normrope.fused_qk_norm_rope(*ends.arguments(qkv)[:10], positions, *ends.arguments()[11:])
        ends.run()
        self.assertTrue(torch.equal(qkv[[0, -1]], ends.qkv))

    @unittest.skipIf(torch.cuda.device_count() < 2, "needs two GPUs")
    def test_a_call_runs_on_its_device_whichever_is_current(self) -> None:
        for current in range(torch.cuda.device_count()):
            for device in range(torch.cuda.device_count()):
                with torch.cuda.device(current):
                    call = TensorCall(STYLE, 9, f"cuda:{device}")
                    call.run()
                    self.assertEqual(torch.cuda.current_device(), current)
                torch.cuda.synchronize(device)
                self.assertLessEqual(call.errors()[0], 1)


class General(GeneralCases, GeneralRefusals):
    device = "cuda"

    def test_capture_and_replay(self) -> None:
        call = GeneralCall(self.device)
        q, k, given = call.heads["q"], call.heads["k"], call.options()
        into = {"q_out": torch.zeros_like(q), "k_out": torch.zeros_like(k)}
        normrope.qk_norm_rope(q, k, **given, **into)  # warms up
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            normrope.qk_norm_rope(q, k, **given, **into)
            new = normrope.qk_norm_rope(q, k, **given)
        for shift in (0, 1, 100_000):
            call.positions.add_(shift)
            for output in (*into.values(), *new):
                output.zero_()
            graph.replay()
            torch.cuda.synchronize()
            for q_out, k_out in (tuple(into.values()), new):
                self.assertLessEqual(call.error("q", q_out), 1)
                self.assertLessEqual(call.error("k", k_out), 1)

    def test_dependent_launches_in_a_row(self) -> None:
        call = GeneralCall(self.device)
        q, k = call.heads["q"], call.heads["k"]
        want = [q, k]
        for _ in range(3):
            want = list(normrope.qk_norm_rope(want[0], want[1], **call.options()))
        got = [q, k]
        for _ in range(3):
            got = list(normrope.qk_norm_rope(got[0], got[1], **call.options(pdl=True)))
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(want, got, strict=True)))


class OwnOps(OwnCases):
    device = "cuda"


class Axes(AxesCases):
    device = "cuda"


del Cases, GeneralCases, GeneralRefusals, OwnCases, AxesCases  # bases, and no tests of their own

if __name__ == "__main__":
    unittest.main()
