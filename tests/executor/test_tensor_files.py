"""Headers, digests and the writer, compared with the safetensors library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from executor.models.tensor_files import (
    BITS,
    TensorEntry,
    TensorLayout,
    parameter_count,
    read_header,
    tensor_digests,
    weight_files,
    weights_digest,
    write_tensors,
)
from state.diagnostic import ProblemError
from state.files import BUFFER_BYTES

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.torch

INDEX = "model.safetensors.index.json"


def _tensors() -> dict[str, Tensor]:
    """Every width, an empty tensor, a scalar, and one of more than a single piece of the reader."""
    import torch

    torch.manual_seed(0)
    return {
        "b.half": torch.randn(3, 5).to(torch.bfloat16),
        "a.half": torch.randn(7).to(torch.bfloat16),
        "single": torch.randn(4, 6),
        "large": torch.randn(BUFFER_BYTES // 4 + 1),
        "count": torch.arange(3),
        "flags": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 4),
    }


def _save(folder: Path, *shards: dict[str, Tensor]) -> Path:
    from safetensors.torch import save_file

    folder.mkdir()
    if len(shards) == 1:
        save_file(shards[0], folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    weight_map = {}
    for number, shard in enumerate(shards):
        save_file(shard, folder / f"part-{number}.safetensors")
        weight_map.update(dict.fromkeys(shard, f"part-{number}.safetensors"))
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


def _write_raw(path: Path, header: object, data: bytes = b"") -> Path:
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


def test_header_finds_the_bytes_of_every_tensor(tmp_path: Path) -> None:
    import torch

    tensors = _tensors()
    path = _save(tmp_path / "model", tensors) / "model.safetensors"
    header, content = read_header(path), path.read_bytes()
    assert header.keys() == tensors.keys()
    for name, tensor in tensors.items():
        entry = header[name]
        assert entry.shape == tuple(tensor.shape)
        assert content[entry.start : entry.end] == tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
    assert header["b.half"].dtype == "BF16"
    assert header["flags"].dtype == "BOOL"


def test_written_file_is_what_the_library_writes(tmp_path: Path) -> None:
    import torch

    tensors = _tensors()
    path = _save(tmp_path / "model", tensors) / "model.safetensors"
    layouts = {name: TensorLayout(entry.dtype, entry.shape) for name, entry in read_header(path).items()}

    def content(name: str) -> list[memoryview]:
        return [memoryview(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())]

    write_tensors(tmp_path / "copy.safetensors", dict(reversed(layouts.items())), content)
    assert (tmp_path / "copy.safetensors").read_bytes() == path.read_bytes()


def test_a_tensor_of_another_size_than_announced_is_refused(tmp_path: Path) -> None:
    layouts = {"weight": TensorLayout("F32", (2, 2))}
    with pytest.raises(ValueError, match="16 bytes was given as 15"):
        write_tensors(tmp_path / "model.safetensors", layouts, lambda _name: [memoryview(bytes(15))])


def test_digest_does_not_depend_on_files(tmp_path: Path) -> None:
    tensors = _tensors()
    items = list(tensors.items())
    single = _save(tmp_path / "single", tensors)
    sharded = _save(tmp_path / "sharded", dict(items[4:]), dict(items[:4]))
    adapter = _save(tmp_path / "adapter", tensors)
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    assert len(weight_files(sharded)) == 2
    assert weights_digest(single) == weights_digest(sharded) == weights_digest(adapter)
    assert tensor_digests(single) == tensor_digests(sharded)


def test_digest_depends_on_name_dtype_shape_and_bytes(tmp_path: Path) -> None:
    import torch

    zeros = torch.zeros(2, 3)
    variants = [
        {"weight": zeros},
        {"other": zeros},
        {"weight": zeros.reshape(3, 2)},
        {"weight": zeros.to(torch.int32)},
        {"weight": zeros + torch.tensor([0.0, 0.0, 1e-9])},
        {"weight": zeros, "empty": torch.empty(0)},
    ]
    digests = {weights_digest(_save(tmp_path / str(number), one)) for number, one in enumerate(variants)}
    assert len(digests) == len(variants)


def test_digest_of_known_weights(tmp_path: Path) -> None:
    """State written by earlier versions holds such digests: this value must never change."""
    import torch

    folder = _save(tmp_path / "model", {"weight": torch.arange(6, dtype=torch.float32).reshape(2, 3)})
    assert weights_digest(folder) == "3167d8353d255edf5a07bf9acc163101"


def test_parameters_are_counted_over_all_files(tmp_path: Path) -> None:
    tensors = _tensors()
    items = list(tensors.items())
    folder = _save(tmp_path / "model", dict(items[:3]), dict(items[3:]))
    assert parameter_count(folder) == sum(tensor.numel() for tensor in tensors.values())


def test_folder_without_weights_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ProblemError, match="No weights"):
        weight_files(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        "{}",
        '{"weight_map": []}',
        '{"weight_map": {}}',
        '{"weight_map": {"weight": 1}}',
        '{"weight_map": {"weight": "../model.safetensors"}}',
        '{"weight_map": {"weight": "lost.safetensors"}}',
    ],
)
def test_damaged_index_is_a_problem(tmp_path: Path, index: str) -> None:
    (tmp_path / INDEX).write_text(index)
    with pytest.raises(ProblemError, match="Damaged weights"):
        weight_files(tmp_path)


def test_tensor_in_two_files_is_a_problem(tmp_path: Path) -> None:
    import torch

    folder = _save(tmp_path / "model", {"weight": torch.ones(2)}, {"weight": torch.zeros(2)})
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "part-0.safetensors", "b": "part-1.safetensors"}}))
    with pytest.raises(ProblemError, match="repeats the tensor weight of part-0"):
        tensor_digests(folder)


@pytest.mark.parametrize(
    ("entry", "size"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, 7),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, 9),
        ({"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}, 12),
        ({"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}, 8),
        ({"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]}, 0),
        ({"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}, 8),
        ({"dtype": "F32", "shape": 2, "data_offsets": [0, 8]}, 8),
        ({"dtype": "F32", "shape": [2], "data_offsets": [0]}, 8),
        ({"dtype": "F32", "shape": [2]}, 8),
        ({"dtype": "X32", "shape": [2], "data_offsets": [0, 8]}, 8),
        ({"dtype": 32, "shape": [2], "data_offsets": [0, 8]}, 8),
        ([], 0),
    ],
)
def test_damaged_entry_is_a_problem(tmp_path: Path, entry: object, size: int) -> None:
    path = _write_raw(tmp_path / "model.safetensors", {"weight": entry}, bytes(size))
    with pytest.raises(ProblemError, match="Damaged weights"):
        read_header(path)


@pytest.mark.parametrize(
    "content", [b"", bytes(7), b"\xff" * 16, b"\x02" + bytes(7) + b"[]", b"\x01" + bytes(7) + b"{"]
)
def test_damaged_header_is_a_problem(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ProblemError, match="Damaged weights"):
        read_header(tmp_path / "model.safetensors")


def test_overlapping_tensors_are_a_problem(tmp_path: Path) -> None:
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    path = _write_raw(tmp_path / "model.safetensors", {"a": entry, "b": entry}, bytes(4))
    with pytest.raises(ProblemError, match="overlap before the tensor b"):
        read_header(path)


def test_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="Damaged weights"):
        read_header(tmp_path / "model.safetensors")


@given(some.data())
def test_every_truncation_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: some.DataObject) -> None:
    layouts = data.draw(
        some.dictionaries(
            some.text(min_size=1).filter(lambda name: name != "__metadata__"),
            some.builds(
                TensorLayout, some.sampled_from(["F32", "BF16", "I64", "BOOL"]), some.tuples(some.integers(1, 4))
            ),
            min_size=1,
        )
    )
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    write_tensors(path, layouts, lambda name: [memoryview(bytes(layouts[name].size))])
    read = read_header(path)
    assert {name: TensorLayout(entry.dtype, entry.shape) for name, entry in read.items()} == layouts
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(some.integers(0, len(content) - 1))])
    with pytest.raises(ProblemError, match="Damaged weights"):
        read_header(path)


def test_every_dtype_of_the_library_is_known(tmp_path: Path) -> None:
    """Names that torch can save; each must come back with the size that the library gave it."""
    import torch

    names = ["float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "uint16", "uint32", "uint64", "complex64", "float64"]
    tensors = {name: torch.zeros(2, 2).to(getattr(torch, name)) for name in names}
    header = read_header(_save(tmp_path / "model", tensors) / "model.safetensors")
    sizes = {name: tensor.element_size() * 4 for name, tensor in tensors.items()}
    assert {name: entry.end - entry.start for name, entry in header.items()} == sizes
    assert {entry.dtype for entry in header.values()} <= BITS.keys()
    assert all(isinstance(entry, TensorEntry) for entry in header.values())
