"""`PYTHONPATH=python python3 python/bench_overhead.py [--runs 101] [--calls 500]`: host time of a call, as JSON.

In: a GPU where torch sees one, else the CPU; a library as `normrope` finds it. Out: microseconds for each call, medians
over runs of many calls each, in turns: of the functions, of the registered ops, and of empty ops of the same
signatures. On the GPU a call of one token is timed, in front of a synchronisation that is not. On the CPU a call of no
tokens.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import normrope
import normrope.torch_op
from normrope import tensorrt_llm, vllm
from normrope._patch import or_original

SIGNATURE = (
    "(Tensor(a!) qkv, int num_heads_q, int num_heads_k, int num_heads_v, int head_dim, float eps, Tensor q_weight, "
    "Tensor k_weight, float base, bool is_neox, Tensor position_ids, float factor, float low, float high, "
    "float attention_factor, int? rotary_dim=None) -> ()"
)
HEADS, HEAD_DIM = (32, 8, 8), 128


def empty_library_op() -> Callable[..., None]:
    """As light as an op of Python's can be: defined by its schema, one implementation."""
    registration = torch.library.Library("normrope_bench", "FRAGMENT")
    registration.define(f"empty{SIGNATURE}")
    for device in ("CPU", "CUDA"):
        registration.impl("empty", lambda *args: None, device)
    empty_library_op.registration = registration  # it lives as long as this
    return torch.ops.normrope_bench.empty


def empty_custom_op() -> Callable[..., None]:
    """As torch's documentation has a custom op written."""
    return torch.library.custom_op(
        "normrope_bench::empty_custom", lambda *args: None, mutates_args=["qkv"], schema=SIGNATURE
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--runs", type=int, default=101)
    options.add_argument("--calls", type=int, default=500)
    chosen = options.parse_args()
    on_gpu = torch.cuda.is_available()
    device, tokens = ("cuda", 1) if on_gpu else ("cpu", 0)
    qkv = torch.randn(tokens, sum(HEADS) * HEAD_DIM, device=device).bfloat16()
    weight = torch.ones(HEAD_DIM, device=device).bfloat16()
    positions = torch.zeros(tokens, dtype=torch.int32, device=device)
    arguments = (qkv, *HEADS, HEAD_DIM, 1e-6, weight, weight, 1e6, True, positions, 1.0, 0.0, 0.0, 1.0)
    q, k, _ = (part.unflatten(1, (-1, HEAD_DIM)) for part in qkv.split([count * HEAD_DIM for count in HEADS], 1))
    table = normrope.RopeTable(base=1e6, rotary_dim=HEAD_DIM)
    turns = torch.zeros(HEAD_DIM // 2, dtype=torch.int64, device=device)
    fused, fused_op = normrope.fused_qk_norm_rope, torch.ops.normrope.fused_qk_norm_rope
    in_place, new = torch.ops.normrope.qk_norm_rope_, torch.ops.normrope.qk_norm_rope
    empty, empty_custom = empty_library_op(), empty_custom_op()
    replaced = or_original(fused, lambda _: True)(lambda *_: None)
    packed, cos_sin = arguments[:8], torch.zeros(1, HEAD_DIM, device=device).bfloat16()
    of_tensorrt_llm = (*packed[:5], HEAD_DIM, *packed[5:], *arguments[8:])
    calls: dict[str, Callable[[], Any]] = {
        "normrope.qk_norm_rope_": lambda: normrope.qk_norm_rope_(
            q, k, q_weight=weight, k_weight=weight, positions=positions, rope_table=table, eps=1e-6, rope="neox"
        ),
        "normrope.qk_norm_rope": lambda: normrope.qk_norm_rope(
            q, k, q_weight=weight, k_weight=weight, positions=positions, rope_table=table, eps=1e-6, rope="neox"
        ),
        "torch.ops.normrope.qk_norm_rope_": lambda: in_place(
            q, k, q_weight=weight, k_weight=weight, positions=positions, rope_table=turns, eps=1e-6, rope="neox"
        ),
        "torch.ops.normrope.qk_norm_rope": lambda: new(
            q, k, q_weight=weight, k_weight=weight, positions=positions, rope_table=turns, eps=1e-6, rope="neox"
        ),
        "normrope.fused_qk_norm_rope": lambda: fused(*arguments),
        "torch.ops.normrope.fused_qk_norm_rope": lambda: fused_op(*arguments),
        "normrope.fused_qk_norm_rope, in SGLang's place": lambda: replaced(*arguments),
        "normrope.vllm.fused_qk_norm_rope": lambda: vllm.fused_qk_norm_rope(*packed, cos_sin, True, positions),
        "normrope.tensorrt_llm.fused_qk_norm_rope": lambda: tensorrt_llm.fused_qk_norm_rope(*of_tensorrt_llm),
        "empty op of torch.library.Library": lambda: empty(*arguments),
        "empty op of torch.library.custom_op": lambda: empty_custom(*arguments),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for call in calls.values():
            call()
        for _ in range(chosen.runs):
            for name, call in calls.items():
                times[name].append(time_calls(call, chosen.calls))
                if on_gpu:
                    torch.cuda.synchronize()
    report = {
        "device": torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "runs": chosen.runs,
        "calls": chosen.calls,
        "microseconds": {name: round(statistics.median(values), 3) for name, values in times.items()},
    }
    print(json.dumps(report, indent=2))


def time_calls(call: Callable[[], Any], count: int) -> float:
    """Microseconds for each."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count * 1e6


if __name__ == "__main__":
    main()
