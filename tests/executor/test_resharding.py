"""Weights written again, compared with what transformers writes and with what torch casts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.models.resharding import write_weights
from executor.models.shards import bytes_of
from executor.models.tensor_files import tensor_digests, weight_files
from state.diagnostic import ProblemError

pytestmark = pytest.mark.torch


def saved(folder: Path, **options: Any) -> Path:
    """A tiny model of always the same weights, as transformers saves it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config)
    model.to(options.pop("dtype", torch.float32)).save_pretrained(folder, **options)
    return folder


def test_a_dtype_is_cast_as_torch_does_and_sharding_changes_no_tensor(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    source = saved(tmp_path / "source")
    expected = saved(tmp_path / "expected", dtype=torch.bfloat16, max_shard_size="4KB")
    output = tmp_path / "output"
    output.mkdir()
    write_weights(source, output, "bfloat16", "4KB")
    assert tensor_digests(output) == tensor_digests(expected)
    files = weight_files(output)
    assert len(files) > 2
    assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
    (output / "config.json").write_bytes((expected / "config.json").read_bytes())
    found, wanted = (AutoModelForCausalLM.from_pretrained(one).state_dict() for one in (output, expected))
    assert all(bool((found[name] == one).all()) for name, one in wanted.items())


def test_shards_that_fit_into_one_become_one_file(tmp_path: Path) -> None:
    source, output = saved(tmp_path / "source", max_shard_size="4KB"), tmp_path / "output"
    output.mkdir()
    write_weights(source, output, "auto", "5GB")
    assert [path.name for path in output.iterdir()] == ["model.safetensors"]
    assert tensor_digests(output) == tensor_digests(source)


def test_numbers_that_a_dtype_cannot_hold_are_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"mask": torch.ones(2, dtype=torch.int64), "w": torch.tensor([1e30])}, tmp_path / "model.safetensors")
    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(ProblemError, match=r"w holds numbers that float16 cannot\."):
        write_weights(tmp_path, output, "float16", "auto")
    write_weights(tmp_path, output, "bfloat16", "auto")
    assert tensor_digests(output)["mask"] == tensor_digests(tmp_path)["mask"]


@pytest.mark.parametrize(("size", "expected"), [("1KB", 1000), ("500MB", 500_000_000), ("5GB", 5_000_000_000)])
def test_sizes_are_counted_as_the_hub_s_library_counts_them(size: str, expected: int) -> None:
    from huggingface_hub.serialization._base import parse_size_to_int

    assert bytes_of(size) == expected == parse_size_to_int(size)
