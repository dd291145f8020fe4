"""RoPE tables against the equations, in exact arithmetic."""

from __future__ import annotations

import ctypes
import math
import pickle
import types
import unittest
from decimal import Decimal, getcontext
from fractions import Fraction
from typing import Any

from built import build, library_in
from case import NormropeCase
from normrope import RopeTable
from normrope._library import load_library
from reference import TWO_PI

getcontext().prec = 60

BASES = (1e4, 5e5, 1e6, 8e6, 12345.678, 2.0)


def ramp(factor: float, low: float, high: float) -> dict[str, Any]:
    return {"rope_type": "yarn-ramp", "factor": factor, "low": low, "high": high, "attention_factor": 1}


class Frequencies(NormropeCase):
    def test_without_scaling(self) -> None:
        for base in BASES:
            for rotary_dim in (2, 36, 64, 128, 1024):
                for i, got in enumerate(RopeTable(base=base, rotary_dim=rotary_dim).inv_freq):
                    exact = Decimal(base) ** (Decimal(-2 * i) / rotary_dim)
                    # The exponent is rounded before the power is taken: its error comes back times ln(base).
                    allowed = math.ulp(got) + got * math.log(base) * math.ulp(2 * i / rotary_dim)
                    self.assertLessEqual(abs(float(Decimal(got) - exact)), allowed)

    def test_the_ramp(self) -> None:
        plain = RopeTable(base=1e6, rotary_dim=128).inv_freq
        for factor, low, high in (
            (4.0, 20.0, 37.0),
            (8.0, 11.5, 30.0),
            (0.5, 0.0, 63.0),
            (4.0, 9.0, 9.0),
            (4.0, -3.0, 99.0),
        ):
            width = Fraction(high) - Fraction(low) or Fraction(1, 1000)
            scaled = RopeTable(base=1e6, rotary_dim=128, scaling=ramp(factor, low, high))
            for i, got in enumerate(scaled.inv_freq):
                t = min(Fraction(1), max(Fraction(0), (i - Fraction(low)) / width))
                exact = Fraction(plain[i]) * (1 - t) + Fraction(plain[i]) / Fraction(factor) * t
                self.assertLessEqual(abs(Fraction(got) - exact), 4 * Fraction(math.ulp(got)))

    def test_frequencies_of_the_callers_own(self) -> None:
        table = RopeTable.from_inv_freq([1.0, 0.5, 0], attention_factor=1.5)
        self.assertEqual((table.inv_freq, table.attention_factor, table.rotary_dim), ((1.0, 0.5, 0.0), 1.5, 6))
        again = pickle.loads(pickle.dumps(table))
        self.assertEqual((again.inv_freq, again.attention_factor), (table.inv_freq, table.attention_factor))
        bad = {"inv_freq[1] is -1.0": [1, -1.0], "inv_freq[0] is nan": [math.nan], 'inv_freq[0] is "1"': ["1"]}
        for message, frequencies in {**bad, "inv_freq is empty": [], "inv_freq is 7": 7}.items():
            with self.subTest(message), self.refuses("invalid-argument", message):
                RopeTable.from_inv_freq(frequencies)  # type: ignore[arg-type]

    def test_bad_parameters_are_refused(self) -> None:
        for message, change in {
            "base is 0": {"base": 0},
            'base is "1"': {"base": "1"},
            "rotary_dim is 63": {"rotary_dim": 63},
            "rotary_dim is 0": {"rotary_dim": 0},
            "scaling is 4": {"scaling": 4},
            "scaling.rope_type is None": {"scaling": {"factor": 4}},
            'scaling.rope_type is "ntk"': {"scaling": {"rope_type": "ntk"}},
            "scaling.factor is None": {"scaling": {"rope_type": "linear"}},
            "scaling.factor is True": {"scaling": {"rope_type": "linear", "factor": True}},
            "scaling.beta is not known": {"scaling": {"rope_type": "linear", "factor": 2, "beta": 1}},
            "base is 1. base must be other than 1": {
                "base": 1,
                "scaling": {"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 4096},
            },
            "scaling.long_factor is a list of 1. scaling.long_factor must be 32 numbers long": {
                "scaling": {
                    **{"rope_type": "longrope", "short_factor": [1] * 32, "long_factor": [1]},
                    "original_max_position_embeddings": 4096,
                }
            },
            "base is 1e-320": {"base": 1e-320, "rotary_dim": 1024},
        }.items():
            with self.subTest(message), self.refuses("invalid-argument", message):
                RopeTable(**{"base": 1e4, "rotary_dim": 64, **change})


class Configs(NormropeCase):
    """How configs are read. test/python_agrees.test.ts compares the tables of many models with TypeScript's."""

    def test_an_object_and_a_mapping(self) -> None:
        config = {"rope_theta": 1e6, "head_dim": 128}
        for given in (config, types.SimpleNamespace(**config), {"text_config": config}):
            self.assertEqual(RopeTable.from_hf_config(given).inv_freq, RopeTable(base=1e6, rotary_dim=128).inv_freq)
        by_width = {"rope_theta": 1e6, "hidden_size": 2048, "num_attention_heads": 16, "partial_rotary_factor": 0.5}
        self.assertEqual(RopeTable.from_hf_config(by_width).rotary_dim, 64)

    def test_layers_of_several_types(self) -> None:
        config = {
            "head_dim": 128,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                "no_rope": None,
            },
        }
        full, sliding = (RopeTable.from_hf_config(config, f"{name}_attention") for name in ("full", "sliding"))
        self.assertEqual((full.inv_freq[0], sliding.inv_freq[0]), (1 / 8, 1.0))
        for layer_type, message in (
            (None, "layer_type is None. layer_type must be one of full_attention, sliding_attention, no_rope"),
            ("linear", 'layer_type is "linear"'),
            ("no_rope", 'layers of type "no_rope" have no RoPE'),
        ):
            with self.refuses("invalid-argument", message):
                RopeTable.from_hf_config(config, layer_type)

    def test_gemma_3_as_it_was_published(self) -> None:
        scaling = {"rope_type": "linear", "factor": 8.0}
        config = {"head_dim": 256, "rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": scaling}
        full, sliding = (RopeTable.from_hf_config(config, f"{name}_attention") for name in ("full", "sliding"))
        self.assertEqual(full.inv_freq, RopeTable(base=1e6, rotary_dim=256, scaling=scaling).inv_freq)
        self.assertEqual(sliding.inv_freq, RopeTable(base=1e4, rotary_dim=256).inv_freq)
        for layer_type, shown in ((None, "None"), ("sliding", '"sliding"')):
            with self.refuses("invalid-argument", f"layer_type is {shown}", "their angles differ"):
                RopeTable.from_hf_config(config, layer_type)

    def test_heads_with_a_part_of_their_own_that_rotates(self) -> None:
        deepseek = {"rope_theta": 1e4, "hidden_size": 7168, "num_attention_heads": 128, "qk_rope_head_dim": 64}
        self.assertEqual(RopeTable.from_hf_config(deepseek).rotary_dim, 64)

    def test_a_table_for_a_length(self) -> None:
        config = {"head_dim": 64, "rope_theta": 1e4, "max_position_embeddings": 2048}
        config["rope_scaling"] = {"type": "dynamic", "factor": 2.0}
        plain = RopeTable(base=1e4, rotary_dim=64).inv_freq
        self.assertEqual(RopeTable.from_hf_config(config).inv_freq, plain)
        self.assertAlmostEqual(RopeTable.from_hf_config(config, length=4096).inv_freq[-1] * 3, plain[-1], 12)

    def test_bad_configs_are_refused(self) -> None:
        for config, message in (
            ({}, "without rope_theta or rope_parameters"),
            ({"rope_theta": 1e4}, "config.head_dim is missing"),
            ({"rope_parameters": {"rope_type": "default"}, "head_dim": 64}, "config.rope_theta is missing"),
            ({"rope_theta": 1e4, "head_dim": 64, "rope_scaling": {"type": "spiral"}}, 'config.rope_type is "spiral"'),
            ({"rope_theta": -1, "head_dim": 64}, "base is -1"),
            ({"rope_theta": 1e4, "head_dim": 64, "rope_scaling": {"type": "linear"}}, "scaling.factor is None"),
            ({"rope_theta": 1e4, "head_dim": 64, "partial_rotary_factor": "half"}, "partial_rotary_factor is"),
            ({"rope_theta": 1e4, "head_dim": 64, "partial_rotary_factor": 0}, "partial_rotary_factor is 0"),
            ({"rope_theta": 1e4, "head_dim": 64, "partial_rotary_factor": 2}, "partial_rotary_factor is 2"),
            ({"rope_theta": 1e4, "head_dim": "64"}, 'config.head_dim is "64"'),
            ({"rope_theta": 1e4, "hidden_size": 100, "num_attention_heads": 3}, "config.hidden_size is 100"),
            ({"rope_theta": 1e4, "head_dim": 64, "rope_scaling": {"type": ["yarn"]}}, "config.rope_type is a list"),
            (
                {
                    "rope_theta": 1e4,
                    "head_dim": 64,
                    "rope_scaling": {"type": "yarn"},
                    "max_position_embeddings": "4096",
                },
                'config.max_position_embeddings is "4096"',
            ),
        ):
            with self.subTest(message), self.refuses("invalid-argument", message):
                RopeTable.from_hf_config(config)


class Turns(unittest.TestCase):
    def test_are_exact_and_aligned(self) -> None:
        functions = load_library(library_in(build())).functions
        for rotary_dim in (2, 4, 64, 128):
            rope = RopeTable(base=1e6, rotary_dim=rotary_dim)
            turns = rope.on("cpu", functions)
            self.assertIs(rope.on("cpu", functions), turns)
            self.assertEqual(ctypes.addressof(turns) % 16, 0)
            exact = [round(Fraction(frequency) / TWO_PI % 1 * 2**64) % 2**64 for frequency in rope.inv_freq]
            self.assertEqual(list(turns), exact)


if __name__ == "__main__":
    unittest.main()
