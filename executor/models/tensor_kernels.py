"""Products and casts by torch's own operators, on plain memory and without importing torch.

Importing torch takes two seconds and 220 MB, more than merging a small model does. What computes is one shared library
of it, with an interface for C that torch promises to keep (torch/csrc/inductor/aoti_torch/c/shim.h). Another library's
product would round differently: how many terms are summed in which order is each library's own choice.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from state.values import frozen

if TYPE_CHECKING:
    from numpy.typing import NDArray

STORAGE = {"F64": "f8", "F32": "f4", "BF16": "u2", "F16": "f2"}
"""What a file calls a dtype -> numpy's type for its bits; numpy has no bfloat16."""
NAMES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""What a file calls a dtype -> what torch and recipes call it."""
EXPONENTS = {"F64": ("u8", 0x7FF << 52), "F32": ("u4", 0x7F80_0000), "BF16": ("u2", 0x7F80), "F16": ("u2", 0x7C00)}
"""An integer of the same width, and the bits that all numbers have set which are infinite or not numbers."""


@frozen
class Numbers:
    """A piece of a tensor in memory."""

    values: NDArray[Any]
    dtype: str
    """In the words of files; of BF16, `values` are the bits."""

    @property
    def is_finite(self) -> bool:
        """Whether none is infinite or not a number."""
        import numpy as np

        unsigned, exponent = EXPONENTS[self.dtype]
        # The sign is the highest bit: shifted out, the largest that is left has the largest exponent.
        doubled = np.left_shift(self.values.view(unsigned), 1)
        return not doubled.size or int(doubled.max()) < 2 * exponent


@define
class Memory:
    """Memory for numbers, of one thread, that is used again for every block.

    The system takes longer to hand out fresh pages than a step takes to fill them.
    """

    slots: list[NDArray[Any]] = field(factory=list)
    taken: int = 0

    def reuse(self) -> None:
        """Begin anew: all numbers that were taken before may be overwritten from now on."""
        self.taken = 0

    def take(self, shape: Sequence[int], dtype: str) -> Numbers:
        """Room for numbers, not filled."""
        import numpy as np

        size = math.prod(shape) * np.dtype(STORAGE[dtype]).itemsize
        if self.taken == len(self.slots):
            self.slots.append(np.empty(size, "u1"))
        elif len(self.slots[self.taken]) < size:
            self.slots[self.taken] = np.empty(size, "u1")
        slot = self.slots[self.taken]
        self.taken += 1
        return Numbers(slot[:size].view(STORAGE[dtype]).reshape(shape), dtype)

    def cast(self, numbers: Numbers, dtype: str) -> Numbers:
        """The same numbers in another dtype: the nearest, and of two equally near ones the even."""
        if dtype == numbers.dtype:
            return numbers
        found = self.take(numbers.values.shape, dtype)
        with _handles(found, numbers) as (target, source):
            _run(_library().aoti_torch_copy_, target, source, 0)
        return found

    def product(self, left: Numbers, right: Numbers) -> Numbers:
        """The matrix product of F32 numbers of the shapes (m, k) and (k, n); rows must lie next to each other."""
        found = self.take((left.values.shape[0], right.values.shape[1]), "F32")
        with _handles(found, left, right) as handles:
            _run(_library().aoti_torch_cpu_mm_out, *handles)
        return found


def use_one_thread() -> None:
    """Compute in the calling thread alone: who has several threads of its own gives each of them work."""
    library = _library()
    if hasattr(library, "MKL_Set_Num_Threads_Local"):
        library.MKL_Set_Num_Threads_Local(1)
    if hasattr(library, "omp_set_num_threads"):
        library.omp_set_num_threads(1)


@contextmanager
def _handles(*blocks: Numbers) -> Iterator[list[ctypes.c_void_p]]:
    """Tensors of torch over the memory of numbers, as long as the context lasts."""
    library, handles = _library(), []
    try:
        for block in blocks:
            values, handle = block.values, ctypes.c_void_p()
            lengths = ctypes.c_int64 * values.ndim
            strides = lengths(*(stride // values.itemsize for stride in values.strides))
            where = (values.__array_interface__["data"][0], values.ndim, lengths(*values.shape), strides, 0)
            device = (library.aoti_torch_device_type_cpu(), -1)
            dtype = _dtypes()[block.dtype]
            _run(library.aoti_torch_create_tensor_from_blob, *where, dtype, *device, ctypes.byref(handle))
            handles.append(handle)
        yield handles
    finally:
        for handle in handles:
            library.aoti_torch_delete_tensor_object(handle)


def _run(function: Any, *arguments: Any) -> None:  # noqa: ANN401  ctypes takes what the C function takes
    if function(*arguments):
        message = f"torch's {function.__name__} failed; what it says is in the log"
        raise RuntimeError(message)


@cache
def _dtypes() -> dict[str, int]:
    """What torch calls a dtype in its interface for C, by what a file calls it."""
    return {dtype: getattr(_library(), f"aoti_torch_dtype_{name}")() for dtype, name in NAMES.items()}


@cache
def _library() -> ctypes.CDLL:
    found = find_spec("torch")
    if found is None or found.origin is None:
        message = "torch is not installed"
        raise ModuleNotFoundError(message, name="torch")
    name = "libtorch_cpu.dylib" if sys.platform == "darwin" else "libtorch_cpu.so"
    path = Path(found.origin).parent / "lib" / name
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        # Importing torch looks for CUDA's libraries in places that the loader does not know.
        import torch  # noqa: F401

        library = ctypes.CDLL(str(path))
    pointer, length, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    lengths = ctypes.POINTER(length)
    library.aoti_torch_create_tensor_from_blob.argtypes = [
        *(pointer, length, lengths, lengths, length),
        *(number, number, number, ctypes.POINTER(pointer)),
    ]
    library.aoti_torch_cpu_mm_out.argtypes = [pointer, pointer, pointer]
    library.aoti_torch_copy_.argtypes = [pointer, pointer, number]
    library.aoti_torch_delete_tensor_object.argtypes = [pointer]
    return library
