"""The functions by others' signatures, and those that replace others, in functions that torch compiles as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from case import DeviceCase
from dropin_oracle import EPS, Inputs
from normrope import plugins, sglang, tensorrt_llm, vllm

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
        of_tensorrt_llm = (*COUNTS, DIM, DIM, EPS, weight, weight)

        def in_place(run: Callable[[Tensor], None]) -> Callable[[Tensor], Tensor]:
            def layer(rows: Tensor) -> Tensor:
                own = rows * 1
                run(own)
                return own

            return layer

        def mrope(own: Tensor) -> None:
            q, k = own[:, : 4 * DIM], own[:, 4 * DIM : 6 * DIM]
            sglang.fused_qk_norm_mrope(q, k, weight, weight, cos_sin, positions_3, axes, EPS)

        def gate(rows: Tensor, positions: Tensor, sections: Any) -> Tensor:
            given = (gate_weight, gate_weight, gate_cos_sin, positions, EPS, 2, 2, 256, 64, sections, 1.0)
            return torch.cat(vllm.fused_qk_rmsnorm_rope_gate(rows[:, :1024], rows[:, :512], *given), 1)

        layers: dict[str, Callable[[Tensor], Tensor]] = {
            "vLLM": in_place(lambda own: vllm.fused_qk_norm_rope(own, *packed, cos_sin, True, positions)),
            # The table is made in the trace, of numbers that the function has: one that it is given would be a symbol.
            "TensorRT-LLM": in_place(
                lambda own: tensorrt_llm.fused_qk_norm_rope(
                    own, *of_tensorrt_llm, 1e4, True, positions, 1.0, 0.0, 0.0, 1.0
                )
            ),
            "TensorRT-LLM's mRoPE": in_place(
                lambda own: tensorrt_llm.fused_qk_norm_rope(
                    own, *of_tensorrt_llm, 1e4, True, positions_3, 1.0, 0.0, 0.0, 1.0, True, True, True, 24, 16
                )
            ),
            "FP8": lambda rows: tensorrt_llm.fused_qk_norm_rope_to_fp8(
                rows, *of_tensorrt_llm, 1e4, True, positions, 1.0, 0.0, 0.0, 1.0
            ).float(),
            "SGLang's mRoPE": in_place(mrope),
            "gate": lambda rows: gate(rows, positions, None),
            "gate with mRoPE": lambda rows: gate(rows, positions_3, [11, 11, 10]),
        }
        for name, layer in layers.items():
            want = layer(rows)
            for dynamic in (False, True):
                with self.subTest(layer=name, dynamic=dynamic):
                    torch._dynamo.reset()
                    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")
                    self.assertTrue(torch.equal(compiled(rows), want))

    def test_a_replacement_takes_the_original_where_there_is_no_kernel(self) -> None:
        """In a compiled function that is decided when it is traced."""
        for dim, weight_dtype, has_kernel in (
            (DIM, torch.bfloat16, True),
            (DIM, torch.float32, False),
            (64, torch.bfloat16, False),
        ):
            with self.subTest(dim=dim, weight_dtype=weight_dtype):
                self.check_replacements(dim, weight_dtype, has_kernel)

    def check_replacements(self, dim: int, weight_dtype: torch.dtype, has_kernel: bool) -> None:
        """The originals fill heads with 7."""
        made, gate_dim = Inputs(self.device), 2 * dim
        rows, positions = made.heads(TOKENS, 4 * dim), made.positions(TOKENS)
        weight, gate_weight = made.weight(dim).to(weight_dtype), made.weight(gate_dim).to(weight_dtype)
        cos_sin, positions_3 = made.cos_sin(dim, torch.bfloat16), made.positions(3, TOKENS)
        gate_cos_sin = made.cos_sin(64, torch.bfloat16)
        axes = torch.zeros(dim // 2, dtype=torch.int64, device=self.device)
        replaced = {
            name: replace(lambda heads, *_: heads.fill_(7))
            for name, replace in (plugins._SGLANG | plugins._VLLM).items()
        }

        def rope(own: Tensor) -> None:
            packed = (2, 1, 1, dim, EPS, weight, weight, 1e4, True, positions, 1.0, 0.0, 0.0, 1.0)
            replaced["fused_qk_norm_rope"](own, *packed)

        def mrope(own: Tensor) -> None:
            q, k = own[:, : 2 * dim], own[:, 2 * dim :]
            replaced["fused_qk_norm_mrope"](q, k, weight, weight, cos_sin, positions_3, axes, EPS)

        def gate(own: Tensor) -> None:
            given = (gate_weight, gate_weight, gate_cos_sin, positions, EPS, 1, 1, gate_dim, 64, None, 1.0)
            result = replaced["fused_qk_rmsnorm_rope_gate"](own[:, : 2 * gate_dim], own[:, :gate_dim], *given)
            own.copy_(result[0].repeat(1, 2) if isinstance(result, tuple) else own)

        def compiled(run: Callable[[Tensor], None], dynamic: bool) -> Tensor:
            def layer(rows: Tensor) -> Tensor:
                own = rows * 1
                run(own)
                return own

            torch._dynamo.reset()
            result = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")(rows)
            if run is not mrope:
                self.assertTrue(torch.equal(result, layer(rows)))
            return result

        for run in (rope, mrope, gate):
            for dynamic in (False, True):
                with self.subTest(run=run.__name__, dynamic=dynamic):
                    is_original = (compiled(run, dynamic) == 7).any().item()
                    self.assertEqual(is_original, run is mrope or not has_kernel)
