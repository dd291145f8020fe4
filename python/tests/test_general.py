"""`qk_norm_rope` on plain buffers: layouts against the oracle, what its functions take, and what is refused."""

from __future__ import annotations

import inspect
import random
import unittest
from array import array
from typing import Any

import normrope
from built import build, library_in
from case import NormropeCase, ones
from normrope._inputs import NUMBERS, TENSORS
from normrope._library import load_library
from normrope._op_rules import SHIPPED
from normrope._regions import Region, require_apart
from reference import Head, Style, decode, expected_head, largest_error, norm, random_bits, rotate

STYLE = Style(64, 32, False, base=1e6)
POSITIONS = array("q", [0, -3, 4097, 2**33, 5, 131_072])
HEADS = {"q": 3, "k": 2}
TABLE = normrope.RopeTable(base=1e6, rotary_dim=32)


def shaped(flat: array[int], *shape: int) -> memoryview:
    return memoryview(flat).cast("B").cast(flat.typecode, shape)


class Heads:
    """Random heads of a side, with the element where each begins."""

    def __init__(
        self, side: str, token_stride: int, head_stride: int, start: int = 0, weight_heads: bool = False
    ) -> None:
        generator = random.Random(side)
        count, tokens = HEADS[side], len(POSITIONS)
        self.starts = {
            (token, head): start + token * token_stride + head * head_stride
            for token in range(tokens)
            for head in range(count)
        }
        self.length = max(self.starts.values()) + STYLE.head_dim
        self.before = random_bits(STYLE.dtype, self.length, generator)
        self.bits = array("H", self.before)
        self.weight = array("H", random_bits(STYLE.dtype, STYLE.head_dim * (count if weight_heads else 1), generator))
        self.weight_heads = weight_heads

    @property
    def given_weight(self) -> Any:
        if not self.weight_heads:
            return self.weight
        return shaped(self.weight, len(self.weight) // STYLE.head_dim, STYLE.head_dim)

    def error(self, output: array[int]) -> float:
        """Against the oracle, of heads that lie where the input's did."""
        largest = 0.0
        for (token, head), start in self.starts.items():
            own = slice(start, start + STYLE.head_dim)
            x = [decode(STYLE.dtype, bits) for bits in self.before[own]]
            at = head * STYLE.head_dim if self.weight_heads else 0
            weight = [decode(STYLE.dtype, bits) for bits in self.weight[at : at + STYLE.head_dim]]
            expected = expected_head(STYLE, x, weight, POSITIONS[token])
            got = [decode(STYLE.dtype, bits) for bits in output[own]]
            largest = max(largest, largest_error(STYLE.dtype, got, expected))
        return largest


def options(**changed: Any) -> dict[str, Any]:
    own = {"positions": POSITIONS, "rope_table": TABLE, "eps": STYLE.eps, "rope": "interleaved", "dtype": "bf16"}
    return {**own, "library": build(), **changed}


class Layouts(NormropeCase):
    def test_heads_and_rows_in_place_and_out_of_place(self) -> None:
        dim, tokens = STYLE.head_dim, len(POSITIONS)
        for weight_heads in (False, True):
            for as_rows in (False, True):
                q, k = (Heads(side, count * dim, dim, 0, weight_heads) for side, count in HEADS.items())
                weights = {"q_weight": q.given_weight, "k_weight": k.given_weight}
                shapes = [(tokens, count * dim) if as_rows else (tokens, count, dim) for count in HEADS.values()]
                given = [shaped(heads.bits, *shape) for heads, shape in zip((q, k), shapes, strict=True)]
                own = options(**weights, **({"head_dim": dim} if as_rows else {}))
                outputs = [array("H", [0]) * len(heads.bits) for heads in (q, k)]
                into = [shaped(output, *shape) for output, shape in zip(outputs, shapes, strict=True)]
                returned = normrope.qk_norm_rope(*given, **own, q_out=into[0], k_out=into[1])
                self.assertTrue(all(a is b for a, b in zip(returned, into, strict=True)))
                self.assertEqual([list(q.bits), list(k.bits)], [q.before, k.before])
                normrope.qk_norm_rope_(*given, **own)
                for heads, output in zip((q, k), outputs, strict=True):
                    self.assertLessEqual(heads.error(output), 1)
                    self.assertEqual(output, heads.bits)

    def test_heads_in_front_of_tokens_and_batches(self) -> None:
        dim, tokens, count = STYLE.head_dim, len(POSITIONS), HEADS["q"]
        heads_first = Heads("q", dim, tokens * dim)
        own = options(q_weight=heads_first.weight, heads_dim=-3)
        normrope.qk_norm_rope_(shaped(heads_first.bits, count, tokens, dim), **own)
        self.assertLessEqual(heads_first.error(heads_first.bits), 1)
        batch = Heads("q", count * dim, dim)
        positions = shaped(POSITIONS, 2, tokens // 2)
        own = options(q_weight=batch.weight, positions=positions)
        normrope.qk_norm_rope_(shaped(batch.bits, 2, tokens // 2, count, dim), **own)
        self.assertLessEqual(batch.error(batch.bits), 1)
        # [batch, heads, tokens, dim]: a launch for each sequence.
        by_sequence = Heads("q", dim, tokens // 2 * dim)
        for token, head in list(by_sequence.starts):
            sequence, within = divmod(token, tokens // 2)
            by_sequence.starts[token, head] = ((sequence * count + head) * tokens // 2 + within) * dim
        by_sequence.bits = array("H", random_bits("bf16", tokens * count * dim, random.Random(1)))
        by_sequence.before = list(by_sequence.bits)
        own = options(q_weight=by_sequence.weight, positions=positions, heads_dim=1)
        normrope.qk_norm_rope_(shaped(by_sequence.bits, 2, count, tokens // 2, dim), **own)
        self.assertLessEqual(by_sequence.error(by_sequence.bits), 1)

    def test_weights(self) -> None:
        dim, style = STYLE.head_dim, Style(64, 64, True, base=1e6)
        own = {"rope_table": normrope.RopeTable(base=1e6, rotary_dim=64), "rope": "neox"}
        for weight in ("plain", "one_plus", "none"):
            q = Heads("q", HEADS["q"] * dim, dim)
            given = {} if weight == "none" else {"q_weight": q.weight}
            normrope.qk_norm_rope_(shaped(q.bits, 6, 3, 64), **options(**own, **given, weight=weight))
            factors = [decode("bf16", bits) for bits in q.weight]
            for (token, _), start in q.starts.items():
                x = [decode("bf16", bits) for bits in q.before[start : start + dim]]
                expected = rotate(style, norm(style, Head(x, [0.0] * dim), weight, factors), POSITIONS[token])
                got = [decode("bf16", bits) for bits in q.bits[start : start + dim]]
                self.assertLessEqual(largest_error("bf16", got, expected), 1, weight)
        with self.refuses("invalid-argument", "q_weight is given. q_weight must be left out", "weight none does not"):
            normrope.qk_norm_rope_(shaped(q.bits, 6, 3, 64), **options(**own, q_weight=q.weight, weight="none"))

    def test_turns_of_the_callers_own(self) -> None:
        q, again = (Heads("q", 3 * 64, 64) for _ in range(2))
        own = options(q_weight=q.weight)
        normrope.qk_norm_rope_(shaped(q.bits, 6, 3, 64), **own)
        turns = TABLE.on("cpu", load_library(library_in(build())).functions)
        normrope.qk_norm_rope_(shaped(again.bits, 6, 3, 64), **{**own, "rope_table": turns})
        self.assertEqual(q.bits, again.bits)
        with self.refuses("invalid-argument", "rope_table is a buffer of int32. rope_table must be uint64"):
            normrope.qk_norm_rope_(shaped(q.bits, 6, 3, 64), **{**own, "rope_table": array("i", [1] * 16)})
        with self.refuses("kernel-not-found", "rotaryDim 6"):
            normrope.qk_norm_rope_(shaped(q.bits, 6, 3, 64), **{**own, "rope_table": memoryview(turns)[:3]})


class Regions(unittest.TestCase):
    """Random tensors of several launches, against the sets of their bytes."""

    def test_regions_that_pass_are_apart(self) -> None:
        generator = random.Random(3)
        taken = 0
        for _ in range(20_000):
            strides = generator.sample([0, 8, 16, 24, 48, 96, -16, -48], 2)
            own = [self.region(generator, "q", True, strides)]
            own.append(self.region(generator, "k", generator.random() < 0.5, strides))
            try:
                require_apart(own, [1000, 1000])
            except normrope.NormropeError:
                continue
            taken += 1
            q, k = (self.bytes_of(region) for region in own)
            self.assertEqual(len(q), len(set(q)), own)
            self.assertFalse(set(q) & set(k), own)
        self.assertGreater(taken, 2_000)

    @staticmethod
    def region(generator: random.Random, name: str, is_written: bool, strides: list[int]) -> Region:
        own = [stride for stride in strides if is_written or stride != 0]
        dimensions = [(generator.randint(2, 3), stride) for stride in own] + [(generator.choice([2, 4]), 2)]
        return Region(name, is_written, name, "qk".index(name), 8 * generator.randint(0, 24), 2, dimensions)

    @staticmethod
    def bytes_of(region: Region) -> list[int]:
        places = [1000 + region.offset]
        for count, stride in region.dimensions:
            places = [place + i * stride for place in places for i in range(count)]
        return [place + i for place in places for i in range(region.size)]


class Batches(NormropeCase):
    """Batches in which no one stride reaches all tokens: `[batch, heads, tokens, dim]`."""

    def test_positions_of_all_and_in_place_said_otherwise(self) -> None:
        shape, positions = (2, 4, 5, 64), array("i", range(5))
        given = {**options(q_weight=ones("bf16", 64), heads_dim=-3), "positions": positions}
        bits = array("H", random_bits("bf16", 2 * 4 * 5 * 64, random.Random(2)))
        own, into = array("H", bits), array("H", bits)
        normrope.qk_norm_rope_(shaped(own, *shape), **given)
        q = shaped(into, *shape)
        normrope.qk_norm_rope(q, q_out=q, **given)
        self.assertEqual(own, into)
        self.assertNotEqual(own, bits)

    def test_one_token_of_each_sequence(self) -> None:
        head = Heads("q", 3 * 64, 64)
        want = array("H", head.bits)
        one = {"positions": array("q", [4097]), "q_weight": head.weight, "heads_dim": -2}
        normrope.qk_norm_rope_(shaped(want, 6, 3, 64), **options(**{**one, "positions": array("q", [4097] * 6)}))
        for positions in (array("q", [4097]), shaped(array("q", [4097]), 1, 1)):
            own = array("H", head.bits)
            normrope.qk_norm_rope_(shaped(own, 6, 1, 3, 64), **options(**{**one, "positions": positions}))
            self.assertEqual(own, want)

    def test_rows_of_one_head(self) -> None:
        q, k = array("H", ones("bf16", 2 * 5 * 128)), array("H", ones("bf16", 2 * 5 * 64))
        given = options(
            q_weight=ones("bf16", 64), k_weight=ones("bf16", 64), positions=array("i", range(5)), head_dim=64
        )
        normrope.qk_norm_rope_(shaped(q, 2, 5, 128), shaped(k, 2, 5, 64), **given)
        self.assertEqual(list(q[:64]), list(q[64:128]))
        self.assertEqual((q[128:192], q[640:704]), (k[64:128], k[0:64]))


class Functions(NormropeCase):
    def test_every_input_and_axis_is_an_argument(self) -> None:
        names = {tensor.name for tensor in TENSORS} | set(NUMBERS)
        names -= {"v_weight", "v_bias"}  # no kernel takes them
        names |= {*SHIPPED.arguments, "head_dim", "heads_dim", "dtype", "cache_only", "out_dtype", "pdl", "library"}
        self.assertNotIn("q_cache", names)
        outputs = {"out_dtype", *(f"{side}_out{scale}" for side in "qkv" for scale in ("", "_scale"))}
        self.assertEqual(set(inspect.signature(normrope.qk_norm_rope).parameters), names)
        self.assertEqual(set(inspect.signature(normrope.qk_norm_rope_).parameters), names - outputs)
        for name in names:
            self.assertRegex(normrope.qk_norm_rope.__doc__ or "", rf"\n +{name}: ")

    def test_refusals(self) -> None:
        q = Heads("q", 3 * 64, 64)
        heads = shaped(q.bits, 6, 3, 64)
        good = {"q": heads, **options(q_weight=q.weight), "q_out": None}
        for change, message in (
            ({}, "q_out is None. q_out must be given, as of buffers none can be made"),
            ({"q_out": shaped(array("i", [0] * 1152), 6, 3, 64)}, "q_out is a buffer of int32. q_out must be bf16"),
            ({"q_out": shaped(array("H", q.bits), 6, 3, 64).toreadonly()}, "q_out is a buffer that is read-only"),
            (
                {"q_out": shaped(array("H", q.bits), 3, 6, 64)},
                "q_out is a buffer of shape [3, 6, 64]. q_out must be [6, 3",
            ),
            ({"q": q.bits}, "q is a buffer of 1152 elements. q must be of rank 3 or 4, or rows with head_dim"),
            ({"q": [1.0]}, "q is a list of 1. q must be a buffer"),
            ({"q": None}, "q is None. q must be given"),
            ({"dtype": None}, "dtype is None, and bit patterns do not tell what they are"),
            (
                {"positions": array("i", [1, 2])},
                "positions is a buffer of 2 elements. positions must be [6]: [num_tokens]",
            ),
            ({"k_weight": ones("bf16", 64)}, "k_weight is given. k_weight must be left out, as k is"),
            ({"k_out": heads}, "k_out is given. k_out must be left out, as k is"),
            ({"head_dim": 0}, "head_dim is 0. head_dim must be a positive whole number"),
            ({"head_dim": "64"}, 'head_dim is "64"'),
            ({"head_dim": 64}, "positions is a buffer of 6 elements. positions must be [3] or [6, 3]"),
            ({"heads_dim": True}, "heads_dim is True"),
            ({"rope_table": None}, "rope_table is None. rope_table must be given"),
        ):
            given = {**good, **change}
            if given["q_out"] is None and change:
                given["q_out"] = shaped(array("H", q.bits), 6, 3, 64)
            with self.subTest(message), self.refuses("invalid-argument", message):
                normrope.qk_norm_rope(given.pop("q"), **given)
        self.assertEqual(list(q.bits), q.before, "something was written")


if __name__ == "__main__":
    unittest.main()
