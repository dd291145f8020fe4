"""What is refused of KV caches, slots, scales and FP8 outputs: each error names the value and the fix."""

from __future__ import annotations

import os
import unittest
from array import array
from typing import Any

import normrope
from built import build
from cache_calls import BLOCKS, DIM, HEADS, LAYOUTS, SLOTS, TOKENS, CacheCall, Strided, Work, shaped
from case import NormropeCase, ones
from normrope._inputs import caller_field
from strided import strided_buffers

SAME, FP8, POOL = Work(), Work("e4m3"), Work(layout=LAYOUTS[3])
NO_CACHE = {"k_cache": None, "v_cache": None}
PLAIN = {**NO_CACHE, "v": None, "slots": None}


def empty(*shape: int, typecode: str = "H") -> memoryview:
    count = 1
    for size in shape:
        count *= size
    return shaped(array(typecode, [0] * count), *shape)


def scale(*values: float) -> array[float]:
    return array("f", values)


#: A work, what is changed, and what the error says.
SHAPES: list[tuple[Work, dict[str, Any], str]] = [
    (
        SAME,
        {"k_cache": empty(2, BLOCKS, 4, 2, DIM)},
        "k_cache is a buffer of shape [2, 5, 4, 2, 64]. k_cache must be [blocks, block_size, num_heads, head_dim], or "
        "[slots, num_heads, head_dim]",
    ),
    (
        SAME,
        {"v_cache": empty(BLOCKS, 4, 3, DIM)},
        "v_cache is a buffer of shape [5, 4, 3, 64]. v_cache must be [5, 4, 2, 64]: [blocks, block_size, num_heads, he",
    ),
    (SAME, {"v_cache": empty(BLOCKS, 8, 2, DIM)}, "v_cache is a buffer of shape [5, 8, 2, 64]. v_cache must be [5, 4,"),
    (SAME, {"v_cache": empty(20, 2, DIM)}, "v_cache is a buffer of shape [20, 2, 64]. v_cache must be [20, 4, 2, 64]"),
    (
        POOL,
        {"v_cache": empty(BLOCKS, 4, 2, DIM)},
        "v_cache is a buffer of shape [5, 4, 2, 64]. v_cache must be [5, 2, 64] or [5, 1, 2, 64]: [blocks, num_heads,",
    ),
    (
        SAME,
        {"k_cache": Strided(array("H", [0] * 64), (0, 4, 2, DIM), (512, 128, 64, 1))},
        "k_cache is a buffer of shape [0, 4, 2, 64]. k_cache must be of at least one slot",
    ),
    (
        SAME,
        {"slots": array("q", SLOTS[1:])},
        "slots is a buffer of 8 elements. slots must be [9]: [num_tokens]",
    ),
    (
        FP8,
        {"k_cache_scale": scale(1, 1, 1)},
        "k_cache_scale is a buffer of 3 elements. k_cache_scale must be [] or [2]: [] or [num_heads]; [1] is one for",
    ),
]

KINDS: list[tuple[Work, dict[str, Any], str]] = [
    (SAME, {"k_cache": empty(BLOCKS, 4, 2, DIM, typecode="f")}, "k_cache is a buffer of float32. k_cache must be bf16"),
    (SAME, {"slots": scale(*SLOTS)}, "slots is a buffer of float32. slots must be int32 or int64"),
    (FP8, {"v_cache_scale": array("d", [1.0])}, 'v_cache_scale is a buffer of type "d"'),
    (SAME, {"v_cache": empty(BLOCKS, 4, 2, DIM, typecode="B")}, "v_cache is a buffer of e4m3. v_cache must be bf16, a"),
    (SAME, {"k_cache": [1.0]}, "k_cache is a list of 1. k_cache must be a buffer"),
    (SAME, {"k_cache": memoryview(bytes(5120)).cast("H", (5, 4, 2, DIM))}, "k_cache is a buffer that is read-only"),
]

MISSING: list[tuple[Work, dict[str, Any], str]] = [
    (SAME, {"slots": None}, "slots is None. slots must be given"),
    (SAME, {"k_cache": None}, "k_cache is None. k_cache must be given"),
    (SAME, {"v_cache": None}, "v_cache is None. v_cache must be given"),
    (SAME, {**PLAIN, "slots": array("q", SLOTS)}, "slots is given. slots must be left out, as no cache is given"),
    (SAME, {**PLAIN, "k_cache_scale": scale(1)}, "k_cache_scale is given. k_cache_scale must be left out, as no cache"),
    (SAME, {**PLAIN, "cache_only": True}, "cache_only is True. cache_only must be False, as no cache is given"),
    (SAME, {"k_cache_scale": scale(1)}, "k_cache_scale is given. k_cache_scale must be left out, as the kernel for"),
    (SAME, {"v": None}, "v_cache is given. v_cache must be left out, as v is"),
    (SAME, {"cache_only": 1}, "cache_only is 1. cache_only must be True or False"),
    (SAME, {**NO_CACHE, "slots": None}, "v is given. v must be left out, as the kernel for headDim 64"),
]

#: Of out of place calls, where all outputs are given that there are.
OUTPUTS: list[tuple[Work, dict[str, Any], str]] = [
    (SAME, {"k_out": None}, "k_out is None. k_out must be given, as q_out is, or cache_only=True"),
    (SAME, {"cache_only": True}, "k_out is given. k_out must be left out, as cache_only is True"),
    (SAME, {"v_out": empty(TOKENS, 2, DIM)}, "v_out is given. v_out must be left out, as the kernel for headDim 64"),
    (Work(value="norm"), {"v_out": None}, "v_out is None. v_out must be given, as q_out is, or cache_only=True"),
    (SAME, {"k_out": empty(TOKENS, 2, DIM, typecode="B")}, "k_out is a buffer of e4m3. k_out must be bf16, as q_out"),
    (SAME, {"out_dtype": "e4m3"}, "q_out is a buffer of bf16. q_out must be e4m3, as out_dtype is"),
    (SAME, {"out_dtype": 3}, 'out_dtype is 3. out_dtype must be "bf16" or "e4m3"'),
    (SAME, {"out_dtype": "f16"}, 'out_dtype is "f16". out_dtype must be "bf16" or "e4m3"'),
    (SAME, {"q_out_scale": scale(1)}, "q_out_scale is given. q_out_scale must be left out, as the kernel for headDim"),
    (
        SAME,
        {"q_out": None, "k_out": None},
        "q_out is None. q_out must be given, as of buffers none can be made. Or make the call in place",
    ),
]

#: What only the library sees.
DATA: list[tuple[Work, dict[str, Any], str]] = [
    (
        SAME,
        {"slots": array("q", [20, *SLOTS[1:]])},
        "slots is 20 for token 0. slots must be in the 2560 elements of k_cache, or below 0",
    ),
    (POOL, {"slots": array("q", [2**40, *SLOTS[1:]])}, "slots is 1099511627776 for token 0. slots must be in the 2560"),
    (FP8, {"v_cache_scale": scale(1, 0)}, "v_cache_scale is 0 for head 1. v_cache_scale must be from 2^-126 to 2^100"),
    (
        SAME,
        {"k_cache": Strided(array("H", [0] * 4000), (BLOCKS, 4, 2, DIM), (800, 200, 66, 1))},
        "the stride of k_cache over num_heads is 66. the stride of k_cache over num_heads must be a multiple of this",
    ),
    (
        SAME,
        {"k_cache": Strided(array("H", [0] * 2560), (BLOCKS, 4, 2, DIM), (0, 128, 64, 1))},
        "k_cache is in memory that lies over itself. k_cache must be of elements that are apart",
    ),
    (
        SAME,
        {"k_cache": Strided(array("H", [0] * 5120), (BLOCKS, 4, 2, DIM), (1024, 256, 128, 2))},
        "k_cache is a buffer with a stride of 2 between elements. k_cache must be one in which a head is contiguous",
    ),
]


class Refusals(NormropeCase):
    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build("caches"))
        patched = strided_buffers()
        patched.__enter__()
        self.addCleanup(patched.__exit__, None, None, None)

    def refused(self, work: Work, change: dict[str, Any], part: str, in_place: bool = True) -> None:
        call, before = CacheCall(work), CacheCall(work)
        given = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()} | call.inputs()
        outputs = {} if in_place else call.outputs(call.sides_with_output)
        run = normrope.qk_norm_rope_ if in_place else normrope.qk_norm_rope
        with self.subTest(change=list(change), part=part), self.refuses("invalid-argument", part):
            run(**{**given, **call.outputs_given(outputs), **change})
        self.assertEqual(call.heads, before.heads, "something was written")
        for side, cache in call.caches.items():
            self.assertEqual(cache.flat, before.caches[side].flat, "something was written")

    def test_shapes(self) -> None:
        for work, change, part in SHAPES:
            self.refused(work, change, part)

    def test_dtypes_and_memory_that_cannot_be_written(self) -> None:
        for work, change, part in KINDS:
            self.refused(work, change, part)

    def test_arguments_that_are_missing_or_in_vain(self) -> None:
        for work, change, part in MISSING:
            self.refused(work, change, part)

    def test_outputs(self) -> None:
        for work, change, part in OUTPUTS:
            self.refused(work, change, part, in_place=False)

    def test_slots_scales_and_strides(self) -> None:
        for work, change, part in DATA:
            self.refused(work, change, part)

    def test_memory_that_lies_over_other_memory(self) -> None:
        call = CacheCall(SAME)
        same = {"v_cache": call.caches["k"], "k_cache": call.caches["k"]}
        self.refused(SAME, same, "v_cache is over the cache of k. v_cache must be apart from what else is read")
        # Two sequences are two launches, which the library sees one at a time.
        tokens = 4
        shapes = {side: (2, count, tokens, DIM) for side, count in HEADS.items()}
        heads = {side: shaped(ones("bf16", 2 * HEADS[side] * tokens * DIM), *shape) for side, shape in shapes.items()}
        inputs = call.inputs(positions=array("q", range(tokens)), slots=shaped(array("q", range(8)), 2, tokens), **same)
        part = "k_cache is over v_cache. k_cache must be apart from what else is read or written"
        with self.refuses("invalid-argument", part):
            normrope.qk_norm_rope_(**heads, **inputs, heads_dim=-3)

    def test_a_read_only_v_may_go_into_the_cache(self) -> None:
        call = CacheCall(SAME)
        given = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()} | call.inputs()
        given["v"] = memoryview(given["v"].tobytes()).cast("H", call.shape("v"))
        normrope.qk_norm_rope_(**given)
        self.refused(Work(value="norm"), {"v": given["v"]}, "v is a buffer that is read-only. v must be one that")

    def test_an_op_of_its_own(self) -> None:
        call, op = CacheCall(SAME), normrope.Op("my_k")
        k = shaped(call.heads["k"], *call.shape("k"))
        given = {name: own for name, own in call.inputs().items() if name[0] not in "vq"} | {"k": k}
        for change, part in (
            (
                {"q_cache": call.caches["k"]},
                "q_cache is no argument of my_k. Its arguments are k, k_out, k_weight, k_cache, k_cache_scale, "
                "k_out_scale, positions, slots, rope_table, attention_factor, eps, rope",
            ),
            ({"gain": 1}, "head_dim, heads_dim, dtype, cache_only, out_dtype and pdl"),
            ({"k_out_scale": scale(1)}, "k_out_scale is given. k_out_scale must be left out, as the call is in place"),
            ({"out_dtype": "e4m3"}, "out_dtype is given. out_dtype must be left out, as the call is in place"),
            ({"v_cache": call.caches["v"]}, "v_cache is given. v_cache must be left out, as my_k works on k"),
        ):
            with self.subTest(change=list(change)), self.refuses("invalid-argument", part):
                op.in_place(**{**given, **change})
        self.assertEqual(call.heads, CacheCall(SAME).heads)

    def test_missing_and_impossible_points(self) -> None:
        call = CacheCall(SAME)
        given = {side: shaped(bits, *call.shape(side)) for side, bits in call.heads.items()} | call.inputs()
        entry = '{ headDim: [64], rope: ["interleaved"], dtype: ["bf16"], cache: ["same"] } to normrope.config.ts'
        with self.refuses("kernel-not-found", entry):
            normrope.qk_norm_rope_(**{**given, "rope": "interleaved"})

    def test_names_of_fields(self) -> None:
        for field, name in (
            ("k.cache", "k_cache"),
            ("v.cache_scale", "v_cache_scale"),
            ("k.cache_block_stride", "the stride of k_cache over blocks"),
            ("q.out_scale_head_stride", "the stride of q_out_scale over num_heads"),
            ("slots", "slots"),
            ("block_size", "the block size of the caches"),
        ):
            self.assertEqual(caller_field(field), name)


if __name__ == "__main__":
    unittest.main()
