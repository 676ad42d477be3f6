"""One tensor of a merged model, computed a block of rows at a time.

The arithmetic is PEFT 0.21's with `safe_merge=True`, step by step: what is rounded there, and when, is rounded here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from attrs import evolve

from executor.models.peft_adapter import Change
from executor.models.tensor_files import TensorFile, TensorLayout
from executor.models.tensor_kernels import NAMES, Memory, Numbers
from state.diagnostic import problem
from state.values import frozen

BLOCK = 262_144
"""Numbers in a block, about: what a core's own cache holds while all steps pass over it."""
TILE = 64
"""A product of a multiple of so many rows, by so many columns, is the same made at once or in such parts. With other
sizes the kernels for what is left over at the edges may sum in another order."""


@frozen
class MergedTensor:
    """How to make one tensor: from which tensor of the base, with which change, in which layout."""

    name: str
    change: Change
    layout: TensorLayout
    base_name: str
    base: TensorFile
    adapter: TensorFile

    def pieces(self, memory: Memory) -> Iterator[memoryview]:
        """The bytes, in order; each piece is gone when the next one is asked for.

        Raises a problem for numbers that became infinite or none.
        """
        before = self.base.tensors[self.base_name]
        if self.change == Change() and before.dtype == self.layout.dtype:
            yield from self.base.pieces(self.base_name)
            return
        rows = self.layout.shape[0] if self.layout.shape else 1
        trained = _Trained.of(self.change, self.adapter)
        step = self._rows_in_a_block(rows)
        for start in range(0, rows, step):
            memory.reuse()
            block = self._before(start, min(start + step, rows), before.dtype, memory)
            merged = memory.cast(trained.applied(block, start, memory), self.layout.dtype)
            if not merged.is_finite:
                dtype = NAMES[self.layout.dtype]
                raise problem("Merged weights overflow", f"{self.name} is infinite or not a number in torch.{dtype}.")
            yield _bytes(merged)

    def _rows_in_a_block(self, rows: int) -> int:
        width = max(math.prod(self.layout.shape[1:]), 1)
        step = max(BLOCK // width, 1)
        if not self.change.down:
            return step
        if any(length % TILE for length in self.layout.shape) or (self.change.magnitude and self.change.transposed):
            return rows
        return max(step // TILE, 1) * TILE

    def _before(self, start: int, stop: int, dtype: str, memory: Memory) -> Numbers:
        """Some rows as training found them, in the base's dtype."""
        file, name = (self.adapter, self.change.whole) if self.change.whole else (self.base, self.base_name)
        entry = file.tensors[name]
        shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
        block = memory.take(shape, entry.dtype)
        file.read(name, start * math.prod(entry.shape[1:]) * block.values.itemsize, _bytes(block))
        return memory.cast(block, dtype)


@frozen
class _Trained:
    """What an adapter holds for one tensor, in memory; PEFT widens to float32 what was stored in less."""

    change: Change
    up: Numbers | None
    down: Numbers | None
    magnitude: Numbers | None
    shift: Numbers | None
    rows: Numbers | None

    @classmethod
    def of(cls, change: Change, file: TensorFile) -> _Trained:
        memory = Memory()

        def exact(key: str) -> Numbers | None:
            found = stored(key)
            return memory.cast(found, "F32") if found and found.dtype in ("BF16", "F16") else found

        def stored(key: str) -> Numbers | None:
            if not key:
                return None
            entry = file.tensors[key]
            found = memory.take(entry.shape, entry.dtype)
            file.read(key, 0, _bytes(found))
            return found

        up, down, magnitude, shift = map(exact, (change.up, change.down, change.magnitude, change.shift))
        return cls(change, up, down, magnitude, shift, stored(change.rows))

    def applied(self, block: Numbers, start: int, memory: Memory) -> Numbers:
        """The rows from `start` on after training, in their own dtype; what they were before may be overwritten."""
        dtype, count = block.dtype, len(block.values) if block.values.ndim else 1
        if self.shift is not None:
            shift = self.shift.values[start : start + count] * _single(self.change.scaling)
            block = memory.cast(_sum(block, Numbers(shift, "F32"), memory), dtype)
        if self.up is not None and self.down is not None:
            delta = self._delta(self.up, self.down, slice(start, start + count), memory)
            if self.magnitude is not None:
                changed = _sum(block, delta, memory)
                return memory.cast(self._with_magnitude(changed, self.magnitude, start, count), dtype)
            # Rounding the delta before the sum is what makes this PEFT's safe merge.
            block = memory.cast(_sum(block, memory.cast(delta, dtype), memory), dtype)
        if self.rows is not None:
            values = memory.cast(self.rows, dtype).values
            for at, row in enumerate(self.change.indices):
                if start <= row < start + count:
                    block.values[row - start] = values[at]
        return block

    def _delta(self, up: Numbers, down: Numbers, part: slice, memory: Memory) -> Numbers:
        if self.change.transposed:
            made = memory.product(up, Numbers(down.values[:, part], "F32"))
            delta = Numbers(made.values.T, "F32")
        else:
            delta = memory.product(Numbers(up.values[part], "F32"), down)
        delta.values[...] *= _single(self.change.scaling)
        return delta

    def _with_magnitude(self, changed: Numbers, magnitude: Numbers, start: int, count: int) -> Numbers:
        """DoRA (https://arxiv.org/abs/2402.09353, equation 5): magnitude * (W + BA) / norm(W + BA), per output."""
        import torch

        values, transposed = changed.values, self.change.transposed
        norm = torch.linalg.norm(torch.from_numpy(values.T if transposed else values), dim=1).numpy()
        wanted = magnitude.values.ravel()
        factor = (wanted if transposed else wanted[start : start + count]) / norm
        return evolve(changed, values=(factor if transposed else factor[:, None]) * values)


def _sum(left: Numbers, right: Numbers, memory: Memory) -> Numbers:
    """The sum, in float32 or, if one of them is float64, in that; it may take the place of what is on the left."""
    wide = "F64" if "F64" in (left.dtype, right.dtype) else "F32"
    found = memory.cast(left, wide)
    found.values[...] += memory.cast(right, wide).values
    return found


def _single(number: float) -> Any:  # noqa: ANN401  a scalar of numpy
    import numpy as np

    return np.float32(number)


def _bytes(block: Numbers) -> memoryview:
    import numpy as np

    return np.ascontiguousarray(block.values).reshape(-1).view("u1").data
