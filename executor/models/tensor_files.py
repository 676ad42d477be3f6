"""Weights on disk without torch: headers, digests, parameter counts and a writer for .safetensors files.

The format: 8 bytes (little-endian) with the length of a JSON header, the header, then every tensor's bytes without gaps
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard

import xxhash

from state.canonical import digest
from state.diagnostic import ProblemError, problem
from state.files import BUFFER_BYTES
from state.values import frozen
from state.wording import stopped

SINGLE_FILES = ("model.safetensors", "adapter_model.safetensors")
INDEX_FILE = "model.safetensors.index.json"
LENGTH_BYTES = 8
HEADER_LIMIT = 100_000_000
"""Bytes; the format's own limit on the length of a header."""

BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits of one element of every dtype that the format knows."""


@frozen
class TensorEntry:
    """One tensor of a file: dtype in the format's words, shape, and where its bytes are in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@frozen
class TensorLayout:
    """A tensor to be written: dtype in the format's words, and shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * BITS[self.dtype] // 8


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The .safetensors files of a model or an adapter, sorted by name; a problem if any is missing."""
    for name in SINGLE_FILES:
        if (folder / name).is_file():
            return (folder / name,)
    index = folder / INDEX_FILE
    if not index.is_file():
        raise problem(
            "No weights",
            f"{folder} holds neither {SINGLE_FILES[0]} nor {INDEX_FILE} nor {SINGLE_FILES[1]}.",
            "Weights in other formats have to be converted to safetensors first.",
        )
    files = tuple(folder / name for name in _shard_names(index))
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise _damaged(index, f"names files that are not there: {', '.join(missing)}")
    return files


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Every tensor of a .safetensors file by name, in the order of the bytes; a problem for a damaged file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            if length > min(HEADER_LIMIT, size - LENGTH_BYTES):
                raise _damaged(path, "is shorter than its header says")
            header = json.loads(file.read(length))
        entries = {name: _entry(raw, LENGTH_BYTES + length) for name, raw in header.items() if name != "__metadata__"}
    except ProblemError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"has no readable header: {error}") from error
    in_order = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_bytes(path, in_order, LENGTH_BYTES + length, size)
    return in_order


def read_headers(folder: Path) -> dict[str, tuple[Path, TensorEntry]]:
    """Every tensor of a folder by name, with the file that holds it; a problem if two files hold the same name."""
    tensors: dict[str, tuple[Path, TensorEntry]] = {}
    for path in weight_files(folder):
        for name, entry in read_header(path).items():
            if name in tensors:
                raise _damaged(path, f"repeats the tensor {name} of {tensors[name][0].name}")
            tensors[name] = (path, entry)
    return tensors


def parameter_count(folder: Path) -> int:
    """Elements of all tensors of a folder; a tied embedding, stored once, counts once."""
    return sum(math.prod(entry.shape) for _, entry in read_headers(folder).values())


def tensor_digests(folder: Path) -> dict[str, str]:
    """A digest of dtype, shape and bytes for every tensor of a folder, whichever file holds it."""
    tensors = read_headers(folder)
    return {name: tensor_digest(*tensors[name]) for name in sorted(tensors)}


def weights_digest(folder: Path) -> str:
    """One digest of all tensors of a folder, independent of sharding, of the order of files and of their metadata."""
    return digest(tensor_digests(folder))


def tensor_digest(path: Path, entry: TensorEntry) -> str:
    """The digest of one tensor: dtype, shape and the xxh3-128 of its bytes, read in 1 MiB pieces."""
    hasher = xxhash.xxh3_128()
    buffer = memoryview(bytearray(min(BUFFER_BYTES, entry.end - entry.start)))
    with path.open("rb", buffering=0) as file:
        file.seek(entry.start)
        left = entry.end - entry.start
        while left > 0:
            count = file.readinto(buffer[:left])
            if not count:
                raise _damaged(path, "became shorter while it was read")
            hasher.update(buffer[:count])
            left -= count
    return digest([entry.dtype, entry.shape, hasher.hexdigest()])


@frozen
class TensorFile:
    """An open .safetensors file; several threads may read it at once."""

    path: Path
    tensors: Mapping[str, TensorEntry]
    descriptor: int

    def read(self, name: str, start: int, buffer: memoryview) -> None:
        """Fill a buffer with a tensor's bytes from byte `start` on; a problem if the file has become shorter."""
        offset, filled = self.tensors[name].start + start, 0
        while filled < len(buffer):
            count = os.preadv(self.descriptor, [buffer[filled:]], offset + filled)
            if not count:
                raise _damaged(self.path, "became shorter while it was read")
            filled += count

    def pieces(self, name: str) -> Iterator[memoryview]:
        """A tensor's bytes, 1 MiB at a time; each piece is gone when the next one is asked for."""
        size = self.tensors[name].end - self.tensors[name].start
        buffer = memoryview(bytearray(min(BUFFER_BYTES, size)))
        for start in range(0, size, BUFFER_BYTES):
            piece = buffer[: size - start]
            self.read(name, start, piece)
            yield piece


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """A .safetensors file to read tensors from, while the context lasts."""
    tensors = read_header(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield TensorFile(path, tensors, descriptor)
    finally:
        os.close(descriptor)


def write_tensors(
    path: Path, layouts: Mapping[str, TensorLayout], content: Callable[[str], Iterable[memoryview]]
) -> None:
    """Write a .safetensors file one tensor at a time; `content` is asked for the bytes of each name exactly once."""
    for name, offset in lay_out(path, layouts).items():
        write_tensor(path, offset, layouts[name].size, content(name))


def lay_out(path: Path, layouts: Mapping[str, TensorLayout]) -> dict[str, int]:
    """Write a .safetensors file with all but the tensors' bytes; returns the offset of each tensor.

    The widest dtypes come first, as the safetensors library orders them, so that every tensor is aligned.
    """
    names = sorted(layouts, key=lambda name: (-BITS[layouts[name].dtype], name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offsets, offset = {}, 0
    for name in names:
        layout, offsets[name] = layouts[name], offset
        offset += layout.size
        header[name] = {"dtype": layout.dtype, "shape": layout.shape, "data_offsets": (offsets[name], offset)}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % LENGTH_BYTES)
    start = LENGTH_BYTES + len(encoded)
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded)
        file.truncate(start + offset)
    return {name: start + one for name, one in offsets.items()}


def write_tensor(path: Path, offset: int, size: int, content: Iterable[memoryview]) -> None:
    """Write a tensor's bytes to where its file has room for them; several threads may write one file at once."""
    written = 0
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        for piece in content:
            written += len(piece)
            if written > size:
                break
            left = piece
            while left:
                left = left[file.write(left) :]
    if written != size:
        message = f"a tensor of {size} bytes was given as {written}"
        raise ValueError(message)


def _shard_names(index: Path) -> list[str]:
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(index, f"is not an index of weights: {error}") from error
    # A downloaded index must not make us read outside of its folder.
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise _damaged(index, "must name files of its own folder")
    return sorted(names)


def _entry(raw: Mapping[str, object], data_start: int) -> TensorEntry:
    dtype, shape, offsets = raw["dtype"], raw["shape"], raw["data_offsets"]
    if not isinstance(dtype, str) or not _is_counts(shape) or not _is_counts(offsets):
        message = f"{raw} does not describe a tensor"
        raise TypeError(message)
    start, end = offsets
    if (end - start) * 8 != math.prod(shape) * BITS[dtype]:
        message = f"{end - start} bytes cannot be a {dtype} tensor of shape {tuple(shape)}"
        raise ValueError(message)
    return TensorEntry(dtype, tuple(shape), data_start + start, data_start + end)


def _is_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _check_bytes(path: Path, entries: Mapping[str, TensorEntry], start: int, size: int) -> None:
    for name, entry in entries.items():
        if entry.start != start:
            raise _damaged(path, f"has a gap or an overlap before the tensor {name}")
        start = entry.end
    if start != size:
        raise _damaged(path, f"should have {start} bytes and has {size}")


def _damaged(path: Path, detail: str) -> ProblemError:
    return problem("Damaged weights", stopped(f"{path} {detail}"), "Fetch or build these weights again.")
