"""The functions by others' signatures, and one that replaces another, in functions that torch compiles as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import normrope
from case import DeviceCase
from dropin_oracle import EPS, Inputs
from normrope import sglang, tensorrt_llm, vllm
from normrope._patch import or_original

DIM, COUNTS, TOKENS = 128, (4, 2, 2), 4


class CompileCases(DeviceCase):
    config = "dropins"

    def test_compile(self) -> None:
        made = Inputs(self.device)
        rows, weight, gate_weight = made.heads(TOKENS, sum(COUNTS) * DIM), made.weight(DIM), made.weight(256)
        cos_sin, gate_cos_sin = made.cos_sin(DIM, torch.bfloat16), made.cos_sin(64, torch.bfloat16)
        positions, positions_3 = made.positions(TOKENS), made.positions(3, TOKENS)
        axes = torch.zeros(DIM // 2, dtype=torch.int64, device=self.device)
        packed = (*COUNTS, DIM, EPS, weight, weight)
        table = (1e4, True, positions, 1.0, 0.0, 0.0, 1.0)
        of_tensorrt_llm = (*COUNTS, DIM, DIM, EPS, weight, weight)

        def unreachable(*_: Any) -> None:
            raise AssertionError("the original was called")

        replaced = or_original(normrope.fused_qk_norm_rope)(unreachable)

        def in_place(run: Callable[[Tensor], None]) -> Callable[[Tensor], Tensor]:
            def layer(rows: Tensor) -> Tensor:
                own = rows * 1
                run(own)
                return own

            return layer

        def mrope(own: Tensor) -> None:
            q, k = own[:, : 4 * DIM], own[:, 4 * DIM : 6 * DIM]
            sglang.fused_qk_norm_mrope(q, k, weight, weight, cos_sin, positions_3, axes, EPS)

        def gate(rows: Tensor) -> Tensor:
            given = (gate_weight, gate_weight, gate_cos_sin, positions, EPS, 2, 2, 256, 64, None, 1.0)
            return torch.cat(vllm.fused_qk_rmsnorm_rope_gate(rows[:, :1024], rows[:, :512], *given), 1)

        layers: dict[str, Callable[[Tensor], Tensor]] = {
            "in the place of another": in_place(lambda own: replaced(own, *packed, *table)),
            "vLLM": in_place(lambda own: vllm.fused_qk_norm_rope(own, *packed, cos_sin, True, positions)),
            # The table is made in the trace, of numbers that the function has: one that it is given would be a symbol.
            "TensorRT-LLM": in_place(
                lambda own: tensorrt_llm.fused_qk_norm_rope(
                    own, *of_tensorrt_llm, 1e4, True, positions, 1.0, 0.0, 0.0, 1.0
                )
            ),
            "FP8": lambda rows: tensorrt_llm.fused_qk_norm_rope_to_fp8(
                rows, *of_tensorrt_llm, 1e4, True, positions, 1.0, 0.0, 0.0, 1.0
            ).float(),
            "mRoPE": in_place(mrope),
            "gate": gate,
        }
        for name, layer in layers.items():
            want = layer(rows)
            for dynamic in (False, True):
                with self.subTest(layer=name, dynamic=dynamic):
                    torch._dynamo.reset()
                    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")
                    self.assertTrue(torch.equal(compiled(rows), want))
