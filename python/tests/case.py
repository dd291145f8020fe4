"""Shared by the test modules: an environment of their own, and calls on plain buffers."""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import unittest
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import normrope
from built import build
from normrope import _jit, _kernels
from reference import Style, decode, encode, expected_head, largest_error, random_bits

HEADS = (3, 2, 2)


class NormropeCase(unittest.TestCase):
    """Each test in an empty working folder, with an empty cache and no command."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.cache = self.folder / "cache"
        before = os.getcwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("NORMROPE_", "XDG_"))}
        own = {**kept, "NORMROPE_CACHE_DIR": str(self.cache), "NORMROPE_COMMAND": "/no/such/normrope"}
        # A process remembers what was found and what failed.
        emptied = [(os.environ, own), (_kernels._found, {}), (_jit._failures, {})]
        for kept, values in emptied:
            patched = mock.patch.dict(kept, values, clear=True)
            patched.start()
            self.addCleanup(patched.stop)

    @contextlib.contextmanager
    def refuses(self, code: str, *parts: str) -> Iterator[None]:
        """An error with the code, whose text has all the parts and ends with the fix."""
        with self.assertRaises(normrope.NormropeError) as caught:
            yield
        error = caught.exception
        self.assertEqual(error.code, code, str(error))
        for part in parts:
            self.assertIn(part, str(error))
        self.assertTrue(str(error).endswith(error.fix))
        self.assertNotEqual(error.fix, "")


class DeviceCase(NormropeCase):
    """A case for the tests of a device, which sets `device`. The environment names the library."""

    device: str
    config = "tests"

    def setUp(self) -> None:
        super().setUp()
        os.environ["NORMROPE_LIBRARY"] = str(build(self.config, self.device))


class BufferCall:
    """A call on plain buffers of random values, whose parts a test may change."""

    def __init__(self, style: Style, positions: array[int], heads: tuple[int, int, int] = HEADS, gap: int = 0) -> None:
        generator = random.Random(7)
        self.style, self.positions, self.heads = style, positions, heads
        self.row = sum(heads) * style.head_dim
        self.stride = self.row + gap
        self.before = random_bits(style.dtype, len(positions) * self.stride, generator)
        self.qkv: Any = array("H", self.before)
        self.weights = [array("H", random_bits(style.dtype, style.head_dim, generator)) for _ in range(2)]

    def run(self, qkv: Any = None, **options: Any) -> None:
        style = self.style
        options = {"dtype": style.dtype, "rotary_dim": style.rotary_dim, **options}
        normrope.fused_qk_norm_rope(
            *(self.qkv if qkv is None else qkv, *self.heads, style.head_dim, style.eps, *self.weights),
            *(style.base, style.is_neox, self.positions, *style.rope_arguments),
            **options,
        )

    def error(self) -> float:
        """The largest, as a multiple of what is allowed; infinite where something else was written."""
        style, (num_q, num_k, _) = self.style, self.heads
        weights = [[decode(style.dtype, bits) for bits in weight] for weight in self.weights]
        largest = 0.0
        for token, position in enumerate(self.positions):
            start = token * self.stride
            rest = start + (num_q + num_k) * style.head_dim
            end = start + self.stride
            if list(self.qkv[rest:end]) != self.before[rest:end]:
                return float("inf")
            for head in range(num_q + num_k):
                at = slice(start + head * style.head_dim, start + (head + 1) * style.head_dim)
                x = [decode(style.dtype, bits) for bits in self.before[at]]
                expected = expected_head(style, x, weights[head >= num_q], position)
                output = [decode(style.dtype, bits) for bits in self.qkv[at]]
                largest = max(largest, largest_error(style.dtype, output, expected))
        return largest


def ones(dtype: str, count: int) -> array[int]:
    return array("H", [encode(dtype, 1.0)] * count)
