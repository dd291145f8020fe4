"""Whether tensors of several launches lie over each other. The C library sees one launch at a time.

In: where their elements are. Out: an error, if a launch might read or write what another writes. Tensors that cannot be
shown to be apart are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import unfit_argument


@dataclass(frozen=True)
class Region:
    """The elements of a tensor, in bytes."""

    name: str
    is_written: bool
    #: Empty for a tensor of the whole call.
    side: str
    #: Which of the caller's addresses it begins at, and how far behind that.
    source: int
    offset: int
    #: Of an element.
    size: int
    #: Counts from 2 on, and strides. A stride of 0 is left out if the tensor is only read.
    dimensions: Sequence[tuple[int, int]]

    def start(self, addresses: Sequence[int]) -> int:
        """The first byte of all."""
        back = sum((count - 1) * stride for count, stride in self.dimensions if stride < 0)
        return addresses[self.source] + self.offset + back

    def reach(self, below: float = float("inf")) -> int:
        """From the first byte to the last, over dimensions whose stride is smaller than `below`."""
        strides = ((count, abs(stride)) for count, stride in self.dimensions)
        return self.size + sum((count - 1) * stride for count, stride in strides if stride < below)

    @property
    def is_apart_from_itself(self) -> bool:
        """Whether no two elements are the same: each stride reaches over all that is within it."""
        strides = [abs(stride) for _, stride in self.dimensions]
        return len(set(strides)) == len(strides) and all(stride >= self.reach(stride) for stride in strides)


def require_apart_from_itself(region: Region) -> None:
    """Raises `invalid-argument` where two elements are the same."""
    if not region.is_apart_from_itself:
        raise unfit_argument(region.name, "in memory that lies over itself", "of elements that are apart")


def require_apart(regions: Sequence[Region], addresses: Sequence[int]) -> None:
    """Raises `invalid-argument` where a written region lies over itself or another; in place it is its own input."""
    for written in (region for region in regions if region.is_written):
        require_apart_from_itself(written)
        for other in (region for region in regions if region is not written):
            is_same = other.start(addresses) == written.start(addresses) and other.dimensions == written.dimensions
            is_in_place = is_same and other.name == written.side
            if not is_in_place and not _are_apart(written, other, addresses):
                raise unfit_argument(written.name, f"over {other.name}", "apart from what else is read or written")


def _are_apart(a: Region, b: Region, addresses: Sequence[int]) -> bool:
    """Whether one ends before the other begins; or each takes a part of rows that both have."""
    distance = b.start(addresses) - a.start(addresses)
    if distance >= a.reach() or -distance >= b.reach():
        return True
    strides = sorted({abs(stride) for region in (a, b) for _, stride in region.dimensions})
    for row in strides:
        are_rows = all(stride % row == 0 for stride in strides if stride > row)
        within = distance % row
        if are_rows and within >= a.reach(row) and within + b.reach(row) <= row:
            return True
    return False
