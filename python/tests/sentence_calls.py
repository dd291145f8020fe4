"""The ops of sentences/normrope.config.ts, and calls of them on random values, checked against the oracle.

In: an op's name and a point. Out: inputs by their names, as bits of plain buffers, and errors of results. Knows nothing
of torch: tensors are made of the same bits elsewhere.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import normrope
from reference import Head, Style, decode, largest_error, norm, random_bits, rotate

#: What is done to the heads of each side: a norm by its weight, or a rotation.
SENTENCES: dict[str, dict[str, tuple[str, ...]]] = {
    "my_rope_norm": {side: ("rotate", "plain") for side in "qk"},
    "my_weightless": {side: ("none", "rotate") for side in "qk"},
    "my_one_plus": {side: ("one_plus", "rotate") for side in "qk"},
    "my_only_rope": {side: ("rotate",) for side in "qk"},
    "my_only_norm": {side: ("plain",) for side in "qk"},
    "my_v4": {"q": ("none", "rotate"), "k": ("plain", "rotate")},
    "my_twice": {side: ("plain", "rotate", "plain") for side in "qk"},
    "my_v": {"q": ("plain", "rotate"), "k": ("plain", "rotate"), "v": ("none",)},
    "my_k": {"k": ("plain", "rotate")},
}
#: The one whose weight is an axis that a call says.
ONLY_NORM = "my_only_norm"

HEADS = {"q": 3, "k": 2, "v": 1}
POSITIONS = array("q", [0, -3, 4097, 2**33, 131_072])


def shaped(flat: array[int], *shape: int) -> memoryview:
    return memoryview(flat).cast("B").cast(flat.typecode, shape)


@dataclass(frozen=True)
class Sentence:
    """An op at a point that its library holds."""

    name: str
    style: Style
    #: Of the norm, where the op leaves it open and the call says it.
    weight: str | None = None

    @property
    def sides(self) -> dict[str, tuple[str, ...]]:
        stages = SENTENCES[self.name]
        return {side: own if self.weight is None else (self.weight,) for side, own in stages.items()}

    @property
    def rotates(self) -> bool:
        return any("rotate" in stages for stages in self.sides.values())

    @property
    def norms(self) -> bool:
        return any(set(stages) - {"rotate"} for stages in self.sides.values())

    @property
    def axes(self) -> dict[str, str]:
        rope = {"rope": "neox" if self.style.is_neox else "interleaved"} if self.rotates else {}
        return rope if self.weight is None else {**rope, "weight": self.weight}


def every_sentence() -> list[Sentence]:
    """All that the library holds."""
    styles = [Style(64, rotary_dim, is_neox, eps=1e-5) for rotary_dim in (64, 32) for is_neox in (True, False)]
    rotating = [Sentence(name, style) for name in SENTENCES if name not in (ONLY_NORM, "my_k") for style in styles]
    normed = [
        Sentence(ONLY_NORM, Style(64, 0, True, dtype, eps=1e-5), weight)
        for dtype in ("bf16", "f16")
        for weight in ("plain", "one_plus", "none")
    ]
    return [*rotating, *normed, Sentence("my_k", Style(64, 32, True, eps=1e-5))]


class SentenceCall:
    """A call on random heads of each side, `[tokens, heads, dim]`."""

    def __init__(self, sentence: Sentence, weight_heads: bool = False) -> None:
        self.sentence, style = sentence, sentence.style
        generator = random.Random(f"{sentence}")

        def bits(count: int) -> array[int]:
            return array("H", random_bits(style.dtype, count * style.head_dim, generator))

        self.heads = {side: bits(len(POSITIONS) * HEADS[side]) for side in sentence.sides}
        self.weights = {
            side: bits(HEADS[side] if weight_heads else 1)
            for side, stages in sentence.sides.items()
            if {"plain", "one_plus"} & set(stages)
        }

    def shape(self, side: str) -> tuple[int, ...]:
        return len(POSITIONS), HEADS[side], self.sentence.style.head_dim

    def inputs(self, **changed: Any) -> dict[str, Any]:
        """All but the heads."""
        sentence, style = self.sentence, self.sentence.style
        weights = {
            f"{side}_weight": own if len(own) == style.head_dim else shaped(own, HEADS[side], style.head_dim)
            for side, own in self.weights.items()
        }
        angles: dict[str, Any] = {}
        if sentence.rotates:
            table = normrope.RopeTable(base=style.base, rotary_dim=style.rotary_dim)
            angles = {"positions": POSITIONS, "rope_table": table}
        eps = {"eps": style.eps} if sentence.norms else {}
        return {**weights, **angles, **eps, **sentence.axes, **changed}

    def error(self, outputs: Mapping[str, array[int]]) -> float:
        """The largest of the sides', as a multiple of what is allowed."""
        return max(self._error(side, output) for side, output in outputs.items())

    def _error(self, side: str, output: array[int]) -> float:
        style, dim = self.sentence.style, self.sentence.style.head_dim
        weights = self._decoded(self.weights.get(side, array("H", [0] * dim)))
        largest = 0.0
        for head in range(len(POSITIONS) * HEADS[side]):
            at = slice(head * dim, (head + 1) * dim)
            start = (head % HEADS[side]) * dim if len(weights) > dim else 0
            expected = Head(self._decoded(self.heads[side][at]), [0.0] * dim)
            for stage in self.sentence.sides[side]:
                if stage == "rotate":
                    expected = rotate(style, expected, POSITIONS[head // HEADS[side]])
                else:
                    expected = norm(style, expected, stage, weights[start : start + dim])
            largest = max(largest, largest_error(style.dtype, self._decoded(output[at]), expected))
        return largest

    def _decoded(self, bits: array[int]) -> list[float]:
        return [decode(self.sentence.style.dtype, each) for each in bits]
