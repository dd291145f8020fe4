"""The op in plain torch, in float32 and in float64, and by how much a right kernel may differ from each.

In: tensors and a `Style`. Out: expected tensors and errors as multiples of what is allowed. Must not import normrope.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference import Style, frequency

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}
_FRACTION_BITS = {"bf16": 7, "f16": 10}
_LEAST_EXPONENT = {"bf16": -126, "f16": -14}


def expected(
    style: Style, qkv: Tensor, heads: tuple[int, int, int], weights: list[Tensor], positions: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """`[tokens, q + k heads, head_dim]` by the equations in `dtype`, and the magnitudes that went into each element."""
    num_q, num_k, _ = heads
    x = qkv.unflatten(1, (-1, style.head_dim))[:, : num_q + num_k]
    weight = torch.cat([weights[0].expand(num_q, -1), weights[1].expand(num_k, -1)])
    return expected_heads(style, x, weight, positions, dtype)


def expected_heads(
    style: Style, heads: Tensor, weight: Tensor, positions: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The same of `[tokens, heads, head_dim]`, with `[head_dim]` or `[heads, head_dim]` of weights."""
    x = heads.to(dtype)
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + style.eps)
    y = y * weight.to(dtype)
    half = style.rotary_dim // 2
    ramp = (style.factor, style.low, style.high)
    steps = [frequency(style.base, style.rotary_dim, i, *ramp) for i in range(half)]
    angle = (positions.to(dtype)[:, None] * torch.tensor(steps, dtype=dtype, device=heads.device))[:, None]
    cos, sin = angle.cos() * style.attention_factor, angle.sin() * style.attention_factor
    if style.is_neox:
        first, second = torch.arange(half), torch.arange(half, 2 * half)
    else:
        first, second = torch.arange(0, 2 * half, 2), torch.arange(1, 2 * half, 2)
    a, b = y[..., first], y[..., second]
    magnitude = y.abs()
    largest = torch.maximum(a.abs(), b.abs()) * style.attention_factor
    magnitude[..., first] = magnitude[..., second] = largest
    y[..., first], y[..., second] = a * cos - b * sin, b * cos + a * sin
    return y, magnitude


def error_of_rounding(dtype: str, output: Tensor, y: Tensor, magnitude: Tensor) -> float:
    """Against float64: the largest multiple of one rounding and what float32 does before it, at most 1 if right. The
    allowance is that of generator/verify/accuracy.ts."""
    errors = errors_of_rounding(dtype, output, y, magnitude)
    return errors.max().item() if errors.numel() else 0.0


def errors_of_rounding(dtype: str, output: Tensor, y: Tensor, magnitude: Tensor) -> Tensor:
    """The same of each element."""
    exponent = (torch.frexp(y)[1] - 1).clamp(min=_LEAST_EXPONENT[dtype])
    ulp = torch.ldexp(torch.ones_like(y), exponent - _FRACTION_BITS[dtype])
    errors = (output.to(y.dtype) - y).abs() / (0.51 * ulp + 2e-6 * 1.4 * magnitude)
    return errors.nan_to_num(nan=torch.inf)


def error_against_float32(dtype: str, output: Tensor, y: Tensor, magnitude: Tensor, positions: Tensor) -> float:
    """Against float32, which forms position * frequency and so has an angle that is off by up to 2^-24 of the position.
    One rounding of the output, at most 2^-8 (bf16) or 2^-11 (f16) of it, comes on top."""
    furthest = positions.abs().max().item() if positions.numel() else 0
    rounding = 2.0 ** -(_FRACTION_BITS[dtype] + 1) * y.abs() + 2.0 ** (_LEAST_EXPONENT[dtype] - _FRACTION_BITS[dtype])
    error = (output.float() - y).abs() / (rounding + (1e-5 + 2.0**-23 * furthest) * magnitude)
    return error.nan_to_num(nan=torch.inf).max().item() if error.numel() else 0.0
