"""Calls that write a KV cache or FP8, on tensors of the same bits as those of cache_calls, of any device."""

from __future__ import annotations

from array import array
from typing import Any

import torch
from torch import Tensor

from cache_calls import CacheCall, Strided, Work
from torch_reference import DTYPES

FP8 = torch.float8_e4m3fn


class TensorCall:
    """The same call on tensors of the same bits."""

    def __init__(self, work: Work, device: str) -> None:
        self.call, self.work, self.device = CacheCall(work), work, device
        self.dtype = DTYPES[work.style.dtype]
        self.heads = {side: self._of_bits(bits).view(self.call.shape(side)) for side, bits in self.call.heads.items()}
        flats = {id(own.flat): self._of_bits(own.flat) for own in self.call.caches.values()}
        #: As they are given, and the memory that they lie in.
        self.memory = {side: flats[id(own.flat)] for side, own in self.call.caches.items()}
        self.caches = {
            side: self.memory[side].as_strided(own.shape, own.strides, own.offset)
            for side, own in self.call.caches.items()
        }

    def _of_bits(self, bits: array[Any]) -> Tensor:
        if bits.typecode == "B":
            return torch.tensor(bits.tolist(), dtype=torch.uint8, device=self.device).view(FP8)
        signed = array("h", bits.tobytes())
        return torch.tensor(signed.tolist(), dtype=torch.int16, device=self.device).view(self.dtype)

    def tensor(self, value: Any) -> Tensor:
        view = memoryview(value)
        if view.format == "H":
            return self._of_bits(value).view(view.shape)
        dtype = {"f": torch.float32, "i": torch.int32, "q": torch.int64}[view.format]
        return torch.tensor(view.tolist(), dtype=dtype, device=self.device)

    def inputs(self, **changed: Any) -> dict[str, Any]:
        """All but heads and outputs, with the scales of outputs that there are."""
        given = {
            name: self.tensor(own) if isinstance(own, (array, memoryview)) else own
            for name, own in self.call.inputs().items()
            if not isinstance(own, Strided) and name != "dtype"
        }
        given |= {f"{side}_cache": own for side, own in self.caches.items()}
        sides = self.call.sides_with_output
        scales = {name: self.tensor(self.call.scale(name)) for name in self.call.scales if "_out" in name}
        return {**given, **{name: own for name, own in scales.items() if name[0] in sides}, **changed}

    def registered(self) -> dict[str, Any]:
        given = self.inputs()
        return given | {"inv_freq": list(given.pop("rope_table").inv_freq)}

    @property
    def is_fp8(self) -> bool:
        return self.work.out == "e4m3"

    def into(self, sides: str) -> dict[str, Tensor]:
        dtype = FP8 if self.is_fp8 else self.dtype
        return {f"{side}_out": torch.empty_like(self.heads[side], dtype=dtype) for side in sides}

    def output_error(self, side: str, output: Tensor) -> float:
        wide = output.contiguous().view(torch.uint8 if output.dtype == FP8 else torch.int16).flatten().tolist()
        return self.call.output_error(side, array("B", wide) if output.dtype == FP8 else as_unsigned(wide))

    def cache_error(self) -> float:
        for side, memory in self.memory.items():
            flat = self.call.caches[side].flat
            bits = memory.view(torch.uint8 if memory.dtype == FP8 else torch.int16).tolist()
            flat[:] = array("B", bits) if memory.dtype == FP8 else as_unsigned(bits)
        return self.call.cache_error()


def as_unsigned(signed: list[int]) -> array[int]:
    return array("H", array("h", signed).tobytes())


def bits_of(tensor: Tensor) -> Tensor:
    """Tensors that may hold what is not a number, to compare."""
    return tensor.contiguous().view(torch.uint8)
