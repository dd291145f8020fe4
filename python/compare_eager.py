"""`PYTHONPATH=python python3 python/compare_eager.py LIBRARY`: kernels that round as models do, beside their code.

In: a library of python/tests/eager/normrope.config.ts, and transformers. Out: for each model, on the CPU and on a GPU
where there is one, the share of elements that differ from the eager modules', on random heads and on small integers.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import torch
import transformers

import normrope

TOKENS, HEADS = 2048, 8


class Run:
    """Heads of one size on a device, and the angles of a model's own code."""

    def __init__(self, library: str, device: str, is_integer: bool) -> None:
        self.library, self.device, self.is_integer = library, device, is_integer

    def heads(self, dim: int) -> Any:
        """`[1, heads, tokens, dim]`: rows of other scales, or integers from -3 to 3, whose squares have exact sums."""
        shape = (1, HEADS, TOKENS, dim)
        scales = torch.logspace(-1, 1, TOKENS).view(1, 1, TOKENS, 1)
        x = torch.randint(-3, 4, shape).float() if self.is_integer else torch.randn(shape) * scales
        return x.to(torch.bfloat16).to(self.device)

    def angles(self, dim: int, dtype: Any) -> tuple[Any, Any]:
        """`[1, tokens, dim]`: cosine and sine as models make them, by products of float32."""
        inv_freq = 1.0 / 1e6 ** (torch.arange(0, dim, 2, dtype=torch.float32) / dim)
        turned = torch.cat([torch.arange(TOKENS, dtype=torch.float32)[:, None] * 37 * inv_freq] * 2, -1)[None]
        return turned.cos().to(dtype).to(self.device), turned.sin().to(dtype).to(self.device)

    def weight(self, *shape: int) -> Any:
        return (torch.rand(*shape) + 0.5).to(self.device, torch.bfloat16)

    def own(self, x: Any, **call: Any) -> Any:
        return normrope.qk_norm_rope(x, heads_dim=-3, library=self.library, **call)[0]


def rows(cosine: Any, sine: Any) -> Any:
    """`[tokens, dim]`: half of each, one behind the other."""
    half = cosine.shape[-1] // 2
    return torch.cat([cosine[0, :, :half], sine[0, :, :half]], -1).contiguous()


def code_of(model: str) -> Any:
    return importlib.import_module(f"transformers.models.{model}.modeling_{model}")


def norm_of(run: Run, made: Any, *shape: int) -> Any:
    module = made.to(run.device, torch.bfloat16)
    module.weight.data = run.weight(*shape)
    return module


def qwen3(run: Run, **rounding: str) -> tuple[Any, Any]:
    code, x, (cosine, sine) = code_of("qwen3"), run.heads(128), run.angles(128, torch.bfloat16)
    norm = norm_of(run, code.Qwen3RMSNorm(128, 1e-6), 128)
    wanted, _ = code.apply_rotary_pos_emb(norm(x), norm(x), cosine, sine)
    call = {"q_weight": norm.weight.data, "eps": 1e-6, "cos_sin": rows(cosine, sine), "rope": "neox"}
    return wanted, run.own(x, **call, **rounding)


def qwen3_as_model(run: Run) -> tuple[Any, Any]:
    return qwen3(run, norm_rounding="before_weight", rope_rounding="products")


def gemma3(run: Run) -> tuple[Any, Any]:
    code, x, (cosine, sine) = code_of("gemma3"), run.heads(256), run.angles(256, torch.bfloat16)
    norm = norm_of(run, code.Gemma3RMSNorm(256, 1e-6), 256)
    wanted, _ = code.apply_rotary_pos_emb(norm(x), norm(x), cosine, sine)
    call = {"q_weight": norm.weight.data, "eps": 1e-6, "cos_sin": rows(cosine, sine), "rope": "neox"}
    rounding = {"weight": "one_plus", "norm_rounding": "after_weight", "rope_rounding": "products"}
    return wanted, run.own(x, **call, **rounding)


def glm4(run: Run) -> tuple[Any, Any]:
    code, x, (cosine, sine) = code_of("glm4"), run.heads(128), run.angles(64, torch.bfloat16)
    wanted, _ = code.apply_rotary_pos_emb(x, x, cosine, sine)
    call = {"norm": "none", "cos_sin": rows(cosine, sine), "rope": "interleaved", "rope_rounding": "products"}
    return wanted, run.own(x, **call)


def olmo2(run: Run) -> tuple[Any, Any]:
    code, x, (cosine, sine) = code_of("olmo2"), run.heads(128), run.angles(128, torch.float32)
    wanted, _ = code.apply_rotary_pos_emb(x, x, cosine, sine)
    return wanted, run.own(x, norm="none", cos_sin=rows(cosine, sine), rope="neox", rope_rounding="sum")


def cohere(run: Run) -> tuple[Any, Any]:
    code, x, (cosine, sine) = code_of("cohere"), run.heads(128), run.angles(128, torch.bfloat16)
    norm = norm_of(run, code.CohereLayerNorm(hidden_size=(HEADS, 128), eps=1e-5), HEADS, 128)
    normed = norm(x.transpose(1, 2)).transpose(1, 2)
    pairs = [angle[..., :64].repeat_interleave(2, -1) for angle in (cosine, sine)]
    wanted, _ = code.apply_rotary_pos_emb(normed, normed, *pairs)
    call = {"q_weight": norm.weight.data, "eps": 1e-5, "cos_sin": rows(cosine, sine), "rope": "interleaved"}
    rounding = {"norm": "layer", "norm_rounding": "after_weight", "rope_rounding": "sum"}
    return wanted, run.own(x, **call, **rounding)


def llama4(run: Run) -> tuple[Any, Any]:
    code, x, (cosine, sine) = code_of("llama4"), run.heads(128), run.angles(128, torch.float32)
    frequencies = torch.complex(cosine[..., :64], sine[..., :64])
    turned, _ = code.apply_rotary_emb(x.transpose(1, 2), x.transpose(1, 2), frequencies)
    wanted = code.Llama4TextL2Norm(1e-5)(turned).transpose(1, 2)
    call = {"cos_sin": rows(cosine, sine), "eps": 1e-5, "rope": "interleaved", "weight": "none"}
    rounding = {"norm_rounding": "after_weight", "rope_rounding": "sum"}
    return wanted, normrope.Op("qk_rope_norm", library=run.library)(x, heads_dim=-3, **call, **rounding)[0]


def deepseek_v4(run: Run) -> tuple[Any, Any]:
    code, x = code_of("deepseek_v4"), run.heads(512)
    norm = next(getattr(code, name) for name in dir(code) if "Unweighted" in name)(1e-6)
    return norm(x), run.own(x, weight="none", eps=1e-6, norm_rounding="scale")


MODELS: dict[str, Callable[[Run], tuple[Any, Any]]] = {
    "Qwen3": qwen3_as_model,
    "Qwen3, by a kernel that rounds once": qwen3,
    "Gemma 3": gemma3,
    "GLM-4, rotation": glm4,
    "OLMo-2, rotation": olmo2,
    "Cohere": cohere,
    "Llama 4": llama4,
    "DeepSeek-V4, norm of q": deepseek_v4,
}


def main() -> None:
    torch.manual_seed(0)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    gpu = [torch.cuda.get_device_name(device) for device in devices[1:]]
    print("torch", torch.__version__, "transformers", transformers.__version__, *gpu)
    for device in devices:
        for name, compare in MODELS.items():
            shares = []
            for is_integer in (False, True):
                wanted, own = compare(Run(sys.argv[1], device, is_integer))
                shares.append(f"{(wanted != own).float().mean().item():.1e}")
            print(f"{device:5} {name:36} {shares[0]} of random elements differ, {shares[1]} of integers")


if __name__ == "__main__":
    main()
