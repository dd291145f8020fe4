"""RoPE scalings: what each is given, and its formulas. Written by
`npm run compile` from runtime/rope_scalings.ts.
"""

import math
from collections.abc import Mapping
from typing import Any

Values = Mapping[str, float]


def stretched(i: float, base: float, rotary_dim: float, stretch: float) -> float:
    return math.pow((base * math.pow(stretch, (rotary_dim / (rotary_dim - 2)))), ((-2 * i) / rotary_dim))


def ramp(i: float, plain: float, factor: float, low: float, high: float) -> float:
    width = 0.001 if high == low else high - low
    interpolated = min(max((i - low) / width, 0), 1)
    return (plain / factor) * interpolated + plain * (1 - interpolated)


def _linear_frequency(p: Values) -> float:
    plain = p["plain"]
    factor = p["factor"]
    return plain / factor


def _dynamic_frequency(p: Values) -> float:
    i = p["i"]
    base = p["base"]
    rotary_dim = p["rotary_dim"]
    factor = p["factor"]
    max_position_embeddings = p["max_position_embeddings"]
    length = p["length"]
    longest = max(length, max_position_embeddings)
    stretch = (factor * longest) / max_position_embeddings - (factor - 1)
    return stretched(i, base, rotary_dim, stretch)


def _alpha_frequency(p: Values) -> float:
    i = p["i"]
    base = p["base"]
    rotary_dim = p["rotary_dim"]
    alpha = p["alpha"]
    return stretched(i, base, rotary_dim, alpha)


def _yarn_frequency(p: Values) -> float:
    i = p["i"]
    plain = p["plain"]
    base = p["base"]
    rotary_dim = p["rotary_dim"]
    factor = p["factor"]
    original_max_position_embeddings = p["original_max_position_embeddings"]
    beta_fast = p["beta_fast"]
    beta_slow = p["beta_slow"]
    truncate = p["truncate"]
    indices = rotary_dim / (2 * math.log(base))
    fastest = indices * math.log(original_max_position_embeddings / (2 * math.pi * beta_fast))
    slowest = indices * math.log(original_max_position_embeddings / (2 * math.pi * beta_slow))
    low = max(math.floor(fastest) if truncate == 1 else fastest, 0)
    high = min(math.ceil(slowest) if truncate == 1 else slowest, rotary_dim - 1)
    return ramp(i, plain, factor, low, high)


def _yarn_attention_factor(p: Values) -> float:
    factor = p["factor"]
    attention_factor = p["attention_factor"]
    mscale = p["mscale"]
    mscale_all_dim = p["mscale_all_dim"]
    growth = 0 if factor <= 1 else 0.1 * math.log(factor)
    is_by_ratio = mscale != 0 and mscale_all_dim != 0
    grown = (growth * mscale + 1) / (growth * mscale_all_dim + 1) if is_by_ratio else growth + 1
    return grown if attention_factor == 0 else attention_factor


def _yarn_ramp_frequency(p: Values) -> float:
    i = p["i"]
    plain = p["plain"]
    factor = p["factor"]
    low = p["low"]
    high = p["high"]
    return ramp(i, plain, factor, low, high)


def _yarn_ramp_attention_factor(p: Values) -> float:
    attention_factor = p["attention_factor"]
    return attention_factor


def _llama3_frequency(p: Values) -> float:
    plain = p["plain"]
    factor = p["factor"]
    low_freq_factor = p["low_freq_factor"]
    high_freq_factor = p["high_freq_factor"]
    original_max_position_embeddings = p["original_max_position_embeddings"]
    wavelengths = (original_max_position_embeddings * plain) / (2 * math.pi)
    width = 1 if high_freq_factor == low_freq_factor else high_freq_factor - low_freq_factor
    kept = (wavelengths - low_freq_factor) / width
    smoothed = ((1 - kept) * plain) / factor + kept * plain
    is_long = wavelengths < low_freq_factor
    return plain if wavelengths >= high_freq_factor else plain / factor if is_long else smoothed


def _longrope_frequency(p: Values) -> float:
    plain = p["plain"]
    short_factor = p["short_factor"]
    long_factor = p["long_factor"]
    original_max_position_embeddings = p["original_max_position_embeddings"]
    length = p["length"]
    return plain / (long_factor if length > original_max_position_embeddings else short_factor)


def _longrope_attention_factor(p: Values) -> float:
    original_max_position_embeddings = p["original_max_position_embeddings"]
    factor = p["factor"]
    max_position_embeddings = p["max_position_embeddings"]
    attention_factor = p["attention_factor"]
    stretch = max_position_embeddings / original_max_position_embeddings if factor == 0 else factor
    growth = math.log(max(stretch, 1)) / math.log(original_max_position_embeddings)
    return math.sqrt(1 + growth) if attention_factor == 0 else attention_factor


def _proportional_frequency(p: Values) -> float:
    i = p["i"]
    plain = p["plain"]
    rotary_dim = p["rotary_dim"]
    partial_rotary_factor = p["partial_rotary_factor"]
    factor = p["factor"]
    return plain / factor if i < math.floor((partial_rotary_factor * rotary_dim) / 2) else 0


SCALINGS: dict[str, dict[str, Any]] = {
    "linear": {
        "parameters": {
            "factor": {"min": 0, "is_min_excluded": True},
        },
        "frequency": _linear_frequency,
    },
    "dynamic": {
        "parameters": {
            "factor": {"min": 0, "is_min_excluded": True},
            "max_position_embeddings": {"min": 0, "is_min_excluded": True},
            "length": {"min": 0, "is_min_excluded": True},
        },
        "refuses": {"rotary_dim": 2},
        "frequency": _dynamic_frequency,
    },
    "alpha": {
        "parameters": {
            "alpha": {"min": 0, "is_min_excluded": True},
        },
        "refuses": {"rotary_dim": 2},
        "frequency": _alpha_frequency,
    },
    "yarn": {
        "parameters": {
            "factor": {"min": 0, "is_min_excluded": True},
            "original_max_position_embeddings": {"min": 0, "is_min_excluded": True},
            "beta_fast": {"min": 0, "is_min_excluded": True, "default": 32, "at_least": "beta_slow"},
            "beta_slow": {"min": 0, "is_min_excluded": True, "default": 1},
            "truncate": {"is_flag": True, "default": 1},
            "attention_factor": {"min": 0, "is_min_excluded": True, "default": 0},
            "mscale": {"default": 0},
            "mscale_all_dim": {"default": 0},
        },
        "refuses": {"base": 1},
        "frequency": _yarn_frequency,
        "attention_factor": _yarn_attention_factor,
    },
    "yarn-ramp": {
        "parameters": {
            "factor": {"min": 0, "is_min_excluded": True},
            "low": {},
            "high": {"at_least": "low"},
            "attention_factor": {"min": 0, "is_min_excluded": True},
        },
        "frequency": _yarn_ramp_frequency,
        "attention_factor": _yarn_ramp_attention_factor,
    },
    "llama3": {
        "parameters": {
            "factor": {"min": 0, "is_min_excluded": True},
            "low_freq_factor": {"min": 0, "is_min_excluded": True},
            "high_freq_factor": {"min": 0, "is_min_excluded": True, "at_least": "low_freq_factor"},
            "original_max_position_embeddings": {"min": 0, "is_min_excluded": True},
        },
        "frequency": _llama3_frequency,
    },
    "longrope": {
        "parameters": {
            "original_max_position_embeddings": {"min": 1, "is_min_excluded": True},
            "short_factor": {"min": 0, "is_min_excluded": True, "is_list": True},
            "long_factor": {"min": 0, "is_min_excluded": True, "is_list": True},
            "length": {"default": 0},
            "factor": {"min": 0, "is_min_excluded": True, "default": 0},
            "max_position_embeddings": {"min": 0, "is_min_excluded": True, "default": 0},
            "attention_factor": {"min": 0, "is_min_excluded": True, "default": 0},
        },
        "one_of": ["factor", "max_position_embeddings", "attention_factor"],
        "frequency": _longrope_frequency,
        "attention_factor": _longrope_attention_factor,
    },
    "proportional": {
        "parameters": {
            "partial_rotary_factor": {"min": 0, "max": 1},
            "factor": {"min": 0, "is_min_excluded": True, "default": 1},
        },
        "frequency": _proportional_frequency,
    },
}
