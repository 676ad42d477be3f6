"""Whole merges: bases that do not belong to an adapter, proofs, files of another size, and a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.merging.combination import Combination
from executor.merging.lora_merge import merge
from executor.merging.merge_proof import Stack, compare_logits, prove_whole
from executor.merging.merging import fold
from executor.models.dequantized_base import dequantized
from executor.models.loading import load_as_trained
from executor.models.tensor_files import read_headers, tensor_digests, weight_files
from executor.workers.task import Input, Task
from executor.workers.worker_reports import Reporter
from state import artifacts
from state.diagnostic import ProblemError
from state.record import InputRecord

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

HOUSE = Path(__file__).parents[2]
ALONE = Combination((), "linear", 1.0, "total", 42)
SIZES: dict[str, Any] = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, an adapter to it, and another that was trained with the first one folded in."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("merging")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SIZES, num_attention_heads=4)).save_pretrained(folder / "base")
    model: Any = LlamaForCausalLM.from_pretrained(folder / "base")
    for name, target in (("first", "q_proj"), ("second", "v_proj")):
        adapted = get_peft_model(model, LoraConfig(target_modules=[target], task_type="CAUSAL_LM"))
        for parameter in adapted.parameters():
            parameter.data += torch.randn_like(parameter) * 0.1 * parameter.requires_grad
        adapted.save_pretrained(str(folder / name))
        model = LlamaForCausalLM.from_pretrained(folder / "base")
        if name == "first":
            model = PeftModel.from_pretrained(model, folder / name).merge_and_unload(safe_merge=True)
    return {name: folder / name for name in ("base", "first", "second")}


def task(folders: dict[str, Path], output: Path, names: tuple[str, ...], **settings: Any) -> Task:
    """A merge of adapters in the order of training, each recorded as trained on those before it."""
    inputs: list[Input] = []
    for name in ("base", *names):
        below = tuple(InputRecord(one.address, "", one.digest) for one in inputs)
        inputs.append(Input(name, f"digest of {name}", str(folders[name]), {}, {}, {"model": below}))
    output.mkdir()
    return Task(
        address="merge.final",
        kind="merge",
        settings={
            "dtype": "float32",
            "max_shard_size": "auto",
            "check_logits": True,
            "quantized_base": "original",
            **settings,
        },
        content={},
        inputs={"adapter": tuple(inputs), "others": ()},
        recipe_folder=str(output.parent),
        output=str(output),
        checkpoints="",
        tune_folder=str(output.parent),
    )


def folded(one: Task, scratch: Path) -> dict[str, Any]:
    scratch.mkdir(exist_ok=True)
    return dict(fold(one, ALONE, scratch, Reporter(one.address, lambda _: None)))


def test_a_chain_is_proved_against_base_and_adapters(folders: dict[str, Path], tmp_path: Path) -> None:
    facts = folded(task(folders, tmp_path / "output", ("first", "second")), tmp_path / "scratch")
    assert facts["changed_tensors"] == 2
    assert facts["logits_difference"] < 1e-5
    assert facts["logits_change"] > 0.01


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounded_weights_compute_nearly_the_same(folders: dict[str, Path], dtype: str, tmp_path: Path) -> None:
    facts = folded(task(folders, tmp_path / "output", ("first",), dtype=dtype), tmp_path / "scratch")
    assert 0 < facts["logits_difference"] < facts["logits_change"] / 3


def test_logits_are_not_compared_where_nobody_wants_it(folders: dict[str, Path], tmp_path: Path) -> None:
    one = task(folders, tmp_path / "output", ("first",), check_logits=False)
    assert folded(one, tmp_path / "scratch") == {"changed_tensors": 2}


@pytest.mark.parametrize("wrong", [0, 1])
def test_another_base_is_refused_before_anything_is_written(
    folders: dict[str, Path], wrong: int, tmp_path: Path
) -> None:
    one = task(folders, tmp_path / "output", ("first", "second"))
    inputs = list(one.inputs["adapter"])
    inputs[wrong] = evolve(inputs[wrong], digest="digest of another revision")
    with pytest.raises(ProblemError, match=r"(first|second) was trained on another base"):
        folded(evolve(one, inputs={**one.inputs, "adapter": tuple(inputs)}), tmp_path / "scratch")
    assert not list((tmp_path / "output").iterdir())
    assert not list((tmp_path / "scratch").iterdir())


def test_other_shapes_are_refused_before_anything_is_written(folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    LlamaForCausalLM(LlamaConfig(**SIZES | {"hidden_size": 32}, num_attention_heads=4)).save_pretrained(tmp_path / "b")
    one = task({**folders, "base": tmp_path / "b"}, tmp_path / "output", ("first",))
    with pytest.raises(ProblemError, match="factors make"):
        folded(one, tmp_path / "scratch")
    assert not list((tmp_path / "output").iterdir())


def test_an_adapter_that_changes_nothing_is_a_problem(folders: dict[str, Path], tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    untrained = get_peft_model(LlamaForCausalLM.from_pretrained(folders["base"]), LoraConfig(target_modules=["q_proj"]))
    untrained.save_pretrained(str(tmp_path / "untrained"))
    one = task({**folders, "untrained": tmp_path / "untrained"}, tmp_path / "output", ("untrained",))
    with pytest.raises(ProblemError, match="as if there were no adapter"):
        folded(one, tmp_path / "scratch")


def test_a_model_of_wrong_numbers_or_files_is_disproved(folders: dict[str, Path], tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    outputs = merge(folders["base"], folders["first"], merged, None, "60KB")
    stack = Stack(folders["base"], [], folders["first"])
    assert prove_whole(folders["base"], merged, outputs) == 2
    assert "logits_difference" in compare_logits(stack, merged, "float32")
    wrong = Stack(folders["base"], [], folders["second"])
    with pytest.raises(ProblemError, match="its logits are"):
        compare_logits(wrong, merged, "float32")
    index = merged / "model.safetensors.index.json"
    named = json.loads(index.read_text())
    del named["weight_map"]["lm_head.weight"]
    index.write_text(json.dumps(named))
    with pytest.raises(ProblemError, match=r"lm_head\.weight is"):
        prove_whole(folders["base"], merged, outputs)


def test_files_are_as_large_as_said(folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    merge(folders["base"], folders["first"], tmp_path / "one", None)
    merge(folders["base"], folders["first"], tmp_path / "several", None, "60KB")
    files = weight_files(tmp_path / "several")
    assert len(files) > 3
    assert all(
        sum(e.end - e.start for p, e in read_headers(tmp_path / "several").values() if p == file) <= 60_000
        for file in files
    )
    assert tensor_digests(tmp_path / "several") == tensor_digests(tmp_path / "one")
    AutoModelForCausalLM.from_pretrained(tmp_path / "several")


def test_a_killed_merge_looks_unfinished(folders: dict[str, Path], tmp_path: Path) -> None:
    """Killed as soon as the first weights are there: no manifest, and no configuration that a loader would follow."""
    merged = tmp_path / "merged"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from executor.merging import lora_merge; from executor.models import tensor_files\n"
        "write = lora_merge.write_tensor\n"
        "def slowly(*arguments): write(*arguments); time.sleep(60)\n"
        "lora_merge.write_tensor = slowly\n"
        "lora_merge.merge(*map(Path, sys.argv[1:]), None)"
    )
    command = [sys.executable, "-c", code, str(folders["base"]), str(folders["first"]), str(merged)]
    child = subprocess.Popen(command, cwd=HOUSE)
    try:
        until = time.monotonic() + 60
        while not (merged / "model.safetensors").is_file() and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=30)
    assert [path.name for path in merged.iterdir()] == ["model.safetensors"]
    assert artifacts.read(merged) is None
    artifacts.discard_incomplete(merged)
    assert not merged.exists()


def mixture(kind: str) -> Any:
    """Four experts a layer: Mixtral's files hold each by itself, those of gpt-oss all as one."""
    import torch
    from transformers import GptOssConfig, GptOssForCausalLM, MixtralConfig, MixtralForCausalLM

    torch.manual_seed(0)
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4}
    if kind == "mixtral":
        return MixtralForCausalLM(MixtralConfig(**SIZES, **heads))
    return GptOssForCausalLM(GptOssConfig(**SIZES, **heads, head_dim=16))


@pytest.mark.parametrize(("kind", "changed"), [("mixtral", 2 + 2 * 4 * 3), ("gpt_oss", 2 + 2 * 2)])
def test_experts_that_are_one_parameter_are_merged_as_peft_does(kind: str, changed: int, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    mixture(kind).to(torch.bfloat16).save_pretrained(tmp_path / "base")
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype="auto")
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    lora = LoraConfig(target_modules=["q_proj"], target_parameters=targets, task_type="CAUSAL_LM", lora_dropout=0.0)
    adapted = get_peft_model(model, lora)
    for parameter in adapted.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1 * parameter.requires_grad
    adapted.save_pretrained(str(tmp_path / "experts"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype="auto")
    expected = PeftModel.from_pretrained(model, tmp_path / "experts").merge_and_unload(safe_merge=True)
    expected.save_pretrained(tmp_path / "expected")
    places = {"base": tmp_path / "base", "experts": tmp_path / "experts"}
    one = task(places, tmp_path / "output", ("experts",), dtype="bfloat16", max_shard_size="60KB")
    facts = folded(one, tmp_path / "scratch")
    assert facts["changed_tensors"] == changed
    assert facts["logits_difference"] < 0.02 < facts["logits_change"]
    assert len(weight_files(tmp_path / "output")) > 3
    assert tensor_digests(tmp_path / "output") == tensor_digests(tmp_path / "expected")
    assert not list(tmp_path.glob("modules-*"))


def test_a_base_in_few_bits_is_folded_into_as_training_saw_it(folders: dict[str, Path], tmp_path: Path) -> None:
    """Compared with the adapter beside the weights in four bits themselves, as nobody else rounds them."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    trained: dict[str, Any] = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    configuration: Any = BitsAndBytesConfig(**trained, bnb_4bit_compute_dtype=torch.float32)  # type: ignore[no-untyped-call]
    quantized = AutoModelForCausalLM.from_pretrained(
        folders["base"], dtype=torch.float32, quantization_config=configuration
    )
    ids = torch.arange(3, 40)[None]
    # With gradients, as in training: without them bitsandbytes takes another way on CPUs, in bfloat16.
    adapted = PeftModel.from_pretrained(quantized, folders["first"], is_trainable=True)
    expected = adapted.train()(ids).logits.detach()
    settings = {**trained, "bnb_4bit_compute_dtype": "float32", "load_in_8bit": False, "bf16": False, "fp16": False}
    asked = [Input(name, "", str(folders[name]), {} if name == "base" else settings, {}) for name in ("base", "first")]
    loaded = load_as_trained(asked, "auto", "sdpa", tmp_path)
    with torch.no_grad():
        assert loaded(ids).logits.equal(adapted.eval()(ids).logits)
    found = {}
    for choice in ("dequantized", "original"):
        one = task(folders, tmp_path / choice, ("first",), quantized_base=choice)
        inputs = (one.inputs["adapter"][0], evolve(one.inputs["adapter"][1], settings=settings))
        facts = folded(evolve(one, inputs={**one.inputs, "adapter": inputs}), tmp_path / f"{choice} scratch")
        assert facts["logits_difference"] < 1e-5
        with torch.no_grad():
            logits = AutoModelForCausalLM.from_pretrained(tmp_path / choice)(ids).logits
        found[choice] = float((logits - expected).abs().max() / expected.std())
    assert found["dequantized"] < 1e-4
    assert found["original"] > 0.01
    whole: Any = AutoModelForCausalLM.from_pretrained(folders["base"], quantization_config=configuration)
    whole.dequantize().save_pretrained(tmp_path / "whole")
    plain: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    merged = PeftModel.from_pretrained(plain, folders["first"]).merge_and_unload(safe_merge=True)
    merged.save_pretrained(tmp_path / "peft")
    assert tensor_digests(tmp_path / "dequantized") == tensor_digests(tmp_path / "peft")


@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_a_base_is_rounded_one_matrix_at_a_time_as_the_whole_model_would_be(bits: str, tmp_path: Path) -> None:
    """In the dtype of the training, with experts that nobody rounds, in as many files as the base has."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    mixture("mixtral").save_pretrained(tmp_path / "base", max_shard_size="100KB")
    trained: dict[str, Any] = {"load_in_4bit": False, "load_in_8bit": False, bits: True, "bnb_4bit_quant_type": "fp4"}
    dequantized(tmp_path / "base", {**trained, "bf16": True, "fp16": False}, tmp_path / "rounded")
    configuration: Any = BitsAndBytesConfig(**trained)  # type: ignore[no-untyped-call]
    whole: Any = AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", dtype=torch.bfloat16, quantization_config=configuration
    )
    whole.dequantize().save_pretrained(tmp_path / "whole")
    assert len(weight_files(tmp_path / "rounded")) > 3
    assert tensor_digests(tmp_path / "rounded") == tensor_digests(tmp_path / "whole")
