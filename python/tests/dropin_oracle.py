"""Inputs for the functions by others' signatures, and their results by the equations, in float64.

In: shapes and tensors. Out: tensors. Must not import normrope.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

FP8 = torch.float8_e4m3fn
EPS = 1e-6
ROWS = 97


class Inputs:
    """Random tensors of a device. Weights are around one."""

    def __init__(self, device: str, dtype: torch.dtype = torch.bfloat16) -> None:
        self.generator = torch.Generator(device).manual_seed(7)
        self.options: dict[str, Any] = {"generator": self.generator, "device": device}
        self.dtype = dtype

    def heads(self, *shape: int) -> Tensor:
        return torch.randn(*shape, **self.options).to(self.dtype)

    def weight(self, dim: int) -> Tensor:
        return (1 + torch.randn(dim, **self.options) / 4).to(self.dtype)

    def cos_sin(self, rotary_dim: int, dtype: torch.dtype) -> Tensor:
        turns = torch.rand(ROWS, rotary_dim // 2, **self.options, dtype=torch.float64) * 2 * math.pi
        return torch.cat([turns.cos(), turns.sin()], 1).to(dtype)

    def positions(self, *shape: int, dtype: torch.dtype = torch.int64, last: int = ROWS) -> Tensor:
        return torch.randint(0, last, shape, **self.options, dtype=dtype)


def normed(x: Tensor, weight: Tensor | None, beta: float = 0) -> Tensor:
    """RMSNorm in float64, with a weight of `beta` plus the given one."""
    y = x.double()
    y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + EPS)
    return y if weight is None else y * (beta + weight.double())


def rotated(y: Tensor, cos: Tensor, sin: Tensor, is_neox: bool = True) -> tuple[Tensor, Tensor]:
    """`[tokens, heads, dim]` in float64, by `[tokens, rotary_dim / 2]`; and the magnitudes that went into elements."""
    half = cos.shape[-1]
    first = torch.arange(half) if is_neox else 2 * torch.arange(half)
    second = first + (half if is_neox else 1)
    a, b, c, s = y[..., first], y[..., second], cos.double()[:, None], sin.double()[:, None]
    out, magnitude = y.clone(), y.abs()
    out[..., first], out[..., second] = a * c - b * s, b * c + a * s
    magnitude[..., first] = magnitude[..., second] = torch.maximum(a.abs(), b.abs())
    return out, magnitude


def rows_at(cos_sin: Tensor, positions: Tensor, axes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines of each token, `[tokens, rotary_dim / 2]`; by the axis of each pair if there are several."""
    cos, sin = cos_sin.chunk(2, -1)
    if axes is None:
        return cos[positions], sin[positions]
    at = positions[axes.long()].T  # the row of each token and pair
    pairs = torch.arange(len(axes), device=at.device)
    return cos[at, pairs], sin[at, pairs]


def angles_of(base: float, rotary_dim: int, positions: Tensor, axes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    steps = base ** (-torch.arange(0, rotary_dim, 2, dtype=torch.float64, device=positions.device) / rotary_dim)
    at = positions[:, None] if axes is None else positions[axes.long()].T
    turns = at.double() * steps
    return turns.cos(), turns.sin()


def interleaved(pairs: int, height: int, width: int, device: str) -> Tensor:
    """The axis of each pair, as the servers' kernels have it."""
    rule = [1 if j % 3 == 1 and j < 3 * height else 2 if j % 3 == 2 and j < 3 * width else 0 for j in range(pairs)]
    return torch.tensor(rule, device=device)


def to_fp8(wide: Tensor) -> Tensor:
    """The nearest number of e4m3, ties to even; what is larger becomes 448."""
    magnitude = wide.abs().clamp(max=448.0)
    exponent = (torch.frexp(magnitude)[1] - 1).clamp(min=-6)
    step = torch.ldexp(torch.ones_like(wide), exponent - 3)
    return torch.copysign((magnitude / step).round() * step, wide)
