"""Weights written again: in another dtype, in files of another size, one tensor in memory at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from executor.merging.lora_merge import DTYPES, FLOATS
from executor.models.shards import AS_IT_IS, shared_out
from executor.models.tensor_files import (
    INDEX_FILE,
    SINGLE_FILES,
    TensorEntry,
    TensorFile,
    TensorLayout,
    opened,
    read_headers,
    weight_files,
    write_tensors,
)
from executor.models.tensor_kernels import NAMES, STORAGE, Memory, Numbers
from state.diagnostic import problem

Tensors: TypeAlias = Mapping[str, tuple[Path, TensorEntry]]


def write_weights(source: Path, output: Path, dtype: str, max_shard_size: str) -> None:
    """Write a model's or an adapter's weights into a folder; "auto" leaves dtype or files as they are.

    An adapter stays one file: PEFT reads no other. Raises a problem for a value that the dtype cannot hold.
    """
    if (dtype, max_shard_size) == (AS_IT_IS, AS_IT_IS):
        index = [source / INDEX_FILE] if len(weight_files(source)) > 1 else []
        for path in (*weight_files(source), *index):
            shutil.copyfile(path, output / path.name)
        return
    tensors = read_headers(source)
    layouts = {name: _layout(entry, dtype) for name, (_, entry) in tensors.items()}
    files = _shared_out(source, tensors, layouts, max_shard_size)
    with ExitStack() as stack:
        opened_files = {path: stack.enter_context(opened(path)) for path in weight_files(source)}

        def content(name: str) -> Iterator[memoryview]:
            return _content(opened_files[tensors[name][0]], name, layouts[name].dtype)

        for file, names in files.items():
            write_tensors(output / file, {name: layouts[name] for name in names}, content)
    if len(files) > 1:
        size = sum(one.size for one in layouts.values())
        names_to_files = {name: file for file, names in files.items() for name in names}
        index_of = {"metadata": {"total_size": size}, "weight_map": dict(sorted(names_to_files.items()))}
        (output / INDEX_FILE).write_text(json.dumps(index_of, indent=2) + "\n", encoding="utf-8")


def _layout(entry: TensorEntry, dtype: str) -> TensorLayout:
    """Only floating-point numbers of the usual widths are cast: indices, masks and packed weights mean their bits."""
    cast = dtype != AS_IT_IS and entry.dtype in FLOATS
    return TensorLayout(DTYPES[dtype] if cast else entry.dtype, entry.shape)


def _shared_out(
    source: Path, tensors: Tensors, layouts: Mapping[str, TensorLayout], max_shard_size: str
) -> dict[str, list[str]]:
    """The names of the tensors in each file to be written, in the order in which they were stored."""
    single = weight_files(source)[0].name
    if max_shard_size == AS_IT_IS or single == SINGLE_FILES[1]:
        kept: dict[str, list[str]] = {}
        for name, (path, _) in tensors.items():
            kept.setdefault(path.name, []).append(name)
        return kept
    files: dict[str, list[str]] = {}
    for name, file in shared_out({name: layouts[name].size for name in tensors}, max_shard_size).items():
        files.setdefault(file, []).append(name)
    return files


def _content(file: TensorFile, name: str, dtype: str) -> Iterator[memoryview]:
    """A tensor's bytes in the dtype that it is to have, a piece at a time."""
    import numpy as np

    entry = file.tensors[name]
    if dtype == entry.dtype:
        yield from file.pieces(name)
        return
    memory = Memory()
    for piece in file.pieces(name):
        memory.reuse()
        numbers = Numbers(np.frombuffer(piece, STORAGE[entry.dtype]), entry.dtype)
        cast = memory.cast(numbers, dtype)
        if numbers.is_finite and not cast.is_finite:
            detail = f"{name} holds numbers that {NAMES[dtype]} cannot."
            raise problem("Weights overflow", detail, "Export as bfloat16.")
        yield cast.values.view("u1").data
