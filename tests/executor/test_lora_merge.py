"""Merges compared bit for bit with PEFT's own, over the ways in which PEFT adapters differ."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import field, frozen

from executor.merging.lora_merge import merge
from executor.models.tensor_files import read_headers, tensor_digests, weight_files
from state.diagnostic import ProblemError

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

HOUSE = Path(__file__).parents[2]
VOCABULARY = 120
PROMPT = range(0, VOCABULARY, 3)
ATTENTION = ("q_proj", "v_proj")


@frozen
class Case:
    """A base and an adapter of it."""

    lora: Mapping[str, Any] = field(factory=dict)
    base: Mapping[str, Any] = field(factory=dict)
    dtype: str = "float32"
    adapter_dtype: str = ""
    grown_by: int = 0
    shard_size: str = "1GB"


LARGE = {"vocab_size": 1088, "hidden_size": 512, "intermediate_size": 1024}
ODD = {"vocab_size": 1087, "hidden_size": 504, "intermediate_size": 1023}
"""Sizes of which a matrix takes several blocks, with and without a remainder for a product's kernels."""
TIED = {"tie_word_embeddings": True}
BIASED = {"attention_bias": True}

CASES = {
    "lora": Case(),
    "all linear": Case({"target_modules": "all-linear"}),
    "rank-stabilised": Case({"use_rslora": True}),
    "dora": Case({"use_dora": True}),
    "dora, bfloat16 base": Case({"use_dora": True}, dtype="bfloat16"),
    "dora, float16 base": Case({"use_dora": True}, dtype="float16"),
    "bfloat16 base": Case(dtype="bfloat16"),
    "float16 base": Case(dtype="float16"),
    "bfloat16 base and adapter": Case(dtype="bfloat16", adapter_dtype="bfloat16"),
    "bfloat16 adapter": Case({"use_dora": True}, adapter_dtype="bfloat16"),
    "float16 adapter": Case(adapter_dtype="float16"),
    "sharded": Case(shard_size="60KB"),
    "patterns": Case(
        {
            "rank_pattern": {"q_proj": 4, "layers.1.self_attn.v_proj": 2},
            "alpha_pattern": {"q_proj": 32, r"model.layers.\d.self_attn.v_proj": 3, "v_proj": 99},
        }
    ),
    "patterns, rank-stabilised": Case(
        {"rank_pattern": {"v_proj": 5}, "alpha_pattern": {"^model.layers.0.self_attn.q_proj": 7}, "use_rslora": True}
    ),
    "saved head": Case({"modules_to_save": ["lm_head"]}),
    "saved embedding and head": Case({"modules_to_save": ["embed_tokens", "lm_head"]}, dtype="bfloat16"),
    "saved module with children": Case({"modules_to_save": ["mlp", "input_layernorm"]}),
    "embedding": Case({"target_modules": [*ATTENTION, "embed_tokens"]}),
    "embedding, bfloat16 adapter": Case({"target_modules": ["embed_tokens"]}, adapter_dtype="bfloat16"),
    "embedding, dora": Case({"target_modules": [*ATTENTION, "embed_tokens"], "use_dora": True}),
    "embedding, dora, bfloat16 base": Case({"target_modules": ["embed_tokens"], "use_dora": True}, dtype="bfloat16"),
    "embedding and head": Case({"target_modules": [*ATTENTION, "embed_tokens", "lm_head"]}),
    "tokens": Case({"trainable_token_indices": [0, 50, 7]}),
    "tokens, bfloat16 base": Case({"trainable_token_indices": [0, 50, 7]}, dtype="bfloat16"),
    "tokens of both": Case({"trainable_token_indices": {"embed_tokens": [0, 5], "lm_head": [3, 4]}}),
    "several blocks": Case({"target_modules": "all-linear"}, base=LARGE),
    "several blocks, embedding": Case({"target_modules": ["embed_tokens", "lm_head"], "r": 64}, LARGE, "bfloat16"),
    "several blocks, dora": Case({"target_modules": ["embed_tokens", "down_proj"], "use_dora": True}, LARGE),
    "several blocks, tokens": Case({"trainable_token_indices": [3, 600, 1087]}, LARGE, "float16"),
    "odd sizes": Case({"target_modules": ["embed_tokens", "lm_head", "up_proj"], "r": 33}, ODD, "bfloat16"),
    "odd sizes, dora": Case({"target_modules": ["lm_head", "up_proj"], "use_dora": True}, ODD),
    "biases": Case({"bias": "all"}, base=BIASED),
    "biases of lora": Case({"bias": "lora_only", "lora_bias": True}, base=BIASED, dtype="bfloat16"),
    "bias of lora": Case({"lora_bias": True}, base=BIASED),
    "grown": Case(grown_by=8),
    "grown, saved": Case({"modules_to_save": ["embed_tokens", "lm_head"]}, grown_by=8, shard_size="60KB"),
    "grown, saved embedding": Case({"modules_to_save": ["embed_tokens"]}, grown_by=8),
    "grown, tokens": Case({"trainable_token_indices": [120, 121, 127]}, grown_by=8),
    "grown, embedding and head": Case({"target_modules": ["embed_tokens", "lm_head"]}, grown_by=8),
    "tied": Case(base=TIED),
    "tied, saved embedding": Case({"modules_to_save": ["embed_tokens"]}, base=TIED),
    "tied, saved head": Case({"modules_to_save": ["lm_head"]}, base=TIED),
    "tied, saved both": Case({"modules_to_save": ["embed_tokens", "lm_head"]}, base=TIED),
    "tied, saved and kept tied": Case({"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}, base=TIED),
    "tied, tokens": Case({"trainable_token_indices": [0, 5]}, base=TIED),
    "tied, grown": Case(base=TIED, grown_by=8),
    "tied, grown, saved embedding": Case(
        {"modules_to_save": ["embed_tokens"]}, base=TIED, grown_by=8, shard_size="60KB"
    ),
    "tied, grown, saved head": Case({"modules_to_save": ["lm_head"]}, base=TIED, grown_by=8),
    "tied, grown, tokens": Case({"trainable_token_indices": {"embed_tokens": [120, 5]}}, base=TIED, grown_by=8),
}

UNTIED_BY_US = {
    "embedding": Case({"target_modules": [*ATTENTION, "embed_tokens"]}, base=TIED),
    "embedding, dora": Case({"target_modules": ["embed_tokens"], "use_dora": True}, base=TIED),
    "head": Case({"target_modules": ["lm_head"]}, base=TIED),
    "both": Case({"target_modules": ["embed_tokens", "lm_head"]}, base=TIED),
    "both, kept tied": Case({"target_modules": ["embed_tokens"], "ensure_weight_tying": True}, base=TIED),
    "different tokens": Case({"trainable_token_indices": {"embed_tokens": [0, 5], "lm_head": [0, 6]}}, base=TIED),
    "grown embedding": Case({"target_modules": ["embed_tokens"]}, base=TIED, grown_by=8),
    "grown head": Case({"target_modules": ["lm_head"]}, base=TIED, grown_by=8),
}


def _make_base(folder: Path, case: Case) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            **case.base,
        }
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.to(getattr(torch, case.dtype)).save_pretrained(folder, max_shard_size=case.shard_size)


def _load_base(folder: Path, case: Case) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    if case.grown_by:
        model.resize_token_embeddings(VOCABULARY + case.grown_by, mean_resizing=False)
    return model


def _make_adapter(base: Path, folder: Path, case: Case) -> None:
    """An adapter in which every tensor that training could change has changed."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    settings = {"target_modules": list(ATTENTION), "r": 8, "lora_alpha": 20, "task_type": "CAUSAL_LM", **case.lora}
    model = get_peft_model(_load_base(base, case), LoraConfig(**settings))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * 0.1
            if case.adapter_dtype:
                parameter.data = parameter.data.to(getattr(torch, case.adapter_dtype))
    model.save_pretrained(str(folder))


def _load_adapted(base: Path, adapter: Path, case: Case) -> Any:
    from peft import PeftModel

    return PeftModel.from_pretrained(_load_base(base, case), adapter).eval()


def _logits(model: Any) -> Tensor:
    import torch

    with torch.no_grad():
        logits: Tensor = model.eval()(torch.tensor([list(PROMPT)])).logits
    return logits.float()


def _load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    model, report = loaded
    assert not any(report.values())
    return model


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    return tmp_path / "base", tmp_path / "adapter", tmp_path / "merged"


@pytest.mark.parametrize("name", CASES)
def test_merge_is_bitwise_what_peft_does(name: str, folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, adapter, output = folders
    _make_base(base, CASES[name])
    _make_adapter(base, adapter, CASES[name])
    expected = _load_adapted(base, adapter, CASES[name]).merge_and_unload(safe_merge=True)
    expected.save_pretrained(tmp_path / "expected")

    merge(base, adapter, output, None)

    assert tensor_digests(output) == tensor_digests(tmp_path / "expected")
    assert tensor_digests(output) != tensor_digests(base)
    assert json.loads((output / "config.json").read_text()) == json.loads(
        (tmp_path / "expected/config.json").read_text()
    )
    assert _logits(_load(output)).equal(_logits(expected))


@pytest.mark.parametrize("name", UNTIED_BY_US)
def test_merge_of_one_side_of_a_tie_computes_what_was_trained(name: str, folders: tuple[Path, Path, Path]) -> None:
    import torch

    base, adapter, output = folders
    _make_base(base, UNTIED_BY_US[name])
    _make_adapter(base, adapter, UNTIED_BY_US[name])
    trained = _load_adapted(base, adapter, UNTIED_BY_US[name])
    expected = _logits(trained)

    merge(base, adapter, output, None)

    merged = _load(output)
    assert merged.config.tie_word_embeddings is False
    torch.testing.assert_close(_logits(merged), expected, rtol=1e-4, atol=1e-4)
    theirs = _logits(trained.merge_and_unload(safe_merge=True))
    assert not torch.allclose(theirs, expected, rtol=0.01, atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("base_dtype", ["float32", "bfloat16"])
def test_cast_comes_after_the_sum(base_dtype: str, dtype: str, folders: tuple[Path, Path, Path]) -> None:
    import torch

    base, adapter, output = folders
    case = Case(dtype=base_dtype)
    _make_base(base, case)
    _make_adapter(base, adapter, case)
    expected = _load_adapted(base, adapter, case).merge_and_unload(safe_merge=True).to(getattr(torch, dtype))

    merge(base, adapter, output, dtype)

    merged = _load(output)
    assert merged.dtype == getattr(torch, dtype)
    assert json.loads((output / "config.json").read_text())["dtype"] == dtype
    assert all(merged.state_dict()[name].equal(value) for name, value in expected.state_dict().items())


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("targets", [["c_attn", "c_proj"], ["c_proj", "lm_head"]])
def test_transposed_weights(
    targets: list[str],
    prefixed: bool,  # noqa: FBT001
    folders: tuple[Path, Path, Path],
) -> None:
    """GPT-2 stores most matrices the other way round, and its checkpoint on the Hub leaves out `transformer.`."""
    from safetensors.torch import load_file, save_file
    from transformers import GPT2Config, GPT2LMHeadModel

    base, adapter, output = folders
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=2, n_head=4, tie_word_embeddings=False)
    GPT2LMHeadModel(config).save_pretrained(base)
    if not prefixed:
        tensors = load_file(base / "model.safetensors")
        bare = {name.removeprefix("transformer."): value for name, value in tensors.items()}
        save_file(bare, base / "model.safetensors", metadata={"format": "pt"})
    case = Case({"target_modules": targets, "use_dora": True})
    _make_adapter(base, adapter, case)
    expected = _load_adapted(base, adapter, case).merge_and_unload(safe_merge=True)

    merge(base, adapter, output, None)

    merged = _load(output).state_dict()
    assert all(merged[name].equal(value) for name, value in expected.state_dict().items())


def test_merge_does_not_import_torch(pair: tuple[Path, Path, Path]) -> None:
    """It would take most of the time and of the memory of a small merge."""
    code = (
        "import sys; from pathlib import Path; from executor.merging.lora_merge import merge\n"
        "merge(*map(Path, sys.argv[1:]), 'bfloat16'); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *map(str, pair)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=HOUSE)
    assert found.stdout == "False\n"


def test_classifier_gets_no_output_matrix(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """A reward model has no matrix over the vocabulary, so its embedding is tied to nothing."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForSequenceClassification, LlamaConfig

    base, adapter, output = folders
    classifier: Any = AutoModelForSequenceClassification
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=96, num_hidden_layers=1)
    classifier.from_config(config).save_pretrained(base)
    model = classifier.from_pretrained(base)
    lora = LoraConfig(target_modules=["q_proj"], modules_to_save=["embed_tokens", "score"], task_type="SEQ_CLS")
    adapted = get_peft_model(model, lora)
    for parameter in adapted.parameters():
        parameter.data += 0.01 * parameter.requires_grad
    adapted.save_pretrained(str(adapter))
    expected = PeftModel.from_pretrained(classifier.from_pretrained(base), adapter)
    expected.merge_and_unload(safe_merge=True).save_pretrained(tmp_path / "expected")

    merge(base, adapter, output, None)

    assert tensor_digests(output) == tensor_digests(tmp_path / "expected")
    assert json.loads((output / "config.json").read_text()) == json.loads(
        (tmp_path / "expected/config.json").read_text()
    )


def _store_head(base: Path, factor: float) -> None:
    """Store beside a tied embedding the output matrix too, as a multiple of it."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(base / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] * factor
    save_file(tensors, base / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("lora", [{}, {"trainable_token_indices": [0, 5]}, {"modules_to_save": ["lm_head"]}])
def test_tie_that_is_stored_twice(lora: Mapping[str, Any], folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    base, adapter, output = folders
    case = Case(lora, base=TIED)
    _make_base(base, case)
    _store_head(base, 1.0)
    _make_adapter(base, adapter, case)
    expected = _load_adapted(base, adapter, case).merge_and_unload(safe_merge=True)
    expected.save_pretrained(tmp_path / "expected")

    merge(base, adapter, output, None)

    assert tensor_digests(output) == tensor_digests(tmp_path / "expected")
    assert _logits(_load(output)).equal(_logits(expected))


def test_tie_of_different_tensors_is_a_problem(folders: tuple[Path, Path, Path]) -> None:
    base, adapter, output = folders
    _make_base(base, Case(base=TIED))
    _make_adapter(base, adapter, Case(base=TIED))
    _store_head(base, 2.0)
    with pytest.raises(ProblemError, match="contradicts itself"):
        merge(base, adapter, output, None)


def test_tie_ends_where_the_same_values_went_to_different_rows(folders: tuple[Path, Path, Path]) -> None:
    from safetensors.torch import load_file, save_file

    base, adapter, output = folders
    _make_base(base, UNTIED_BY_US["different tokens"])
    _make_adapter(base, adapter, UNTIED_BY_US["different tokens"])
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    end = ".token_adapter.trainable_tokens_delta"
    tensors[f"base_model.model.lm_head{end}"] = tensors[f"base_model.model.model.embed_tokens{end}"].clone()
    save_file(tensors, path)
    merge(base, adapter, output, None)
    assert "lm_head.weight" in read_headers(output)


def test_sharding_and_generation_settings_are_the_base_s(folders: tuple[Path, Path, Path]) -> None:
    base, adapter, output = folders
    _make_base(base, CASES["sharded"])
    _make_adapter(base, adapter, CASES["sharded"])
    merge(base, adapter, output, None)
    assert len(weight_files(base)) > 2
    assert {name: path.name for name, (path, _) in read_headers(output).items()} == {
        name: path.name for name, (path, _) in read_headers(base).items()
    }
    index = "model.safetensors.index.json"
    assert json.loads((output / index).read_text()) == json.loads((base / index).read_text())
    generation = "generation_config.json"
    assert (output / generation).read_bytes() == (base / generation).read_bytes()


@pytest.mark.parametrize("own", [True, False])
def test_tokenizer_is_the_adapter_s_if_it_has_one(
    folders: tuple[Path, Path, Path],
    own: bool,  # noqa: FBT001
) -> None:
    base, adapter, output = folders
    _make_base(base, Case())
    _make_adapter(base, adapter, Case())
    for name in ("tokenizer.json", "tokenizer_config.json", "merges.txt", "manifest.json"):
        (base / name).write_text("base")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja") if own else ():
        (adapter / name).write_text("adapter")
    merge(base, adapter, output, None)
    texts = {path.name: path.read_text() for path in output.iterdir() if path.suffix != ".safetensors"}
    copied = {name: text for name, text in texts.items() if text in {"base", "adapter"}}
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja" if own else "merges.txt")
    assert copied == dict.fromkeys(names, "adapter" if own else "base")


@pytest.fixture
def pair(folders: tuple[Path, Path, Path]) -> tuple[Path, Path, Path]:
    base, adapter, _ = folders
    _make_base(base, Case())
    _make_adapter(base, adapter, Case())
    return folders


def _edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("layer_replication", [[0, 2], [1, 2]]),
        ("target_parameters", ["mlp.experts.down_proj"]),
        ("alora_invocation_tokens", [1, 2]),
        ("use_qalora", True),
        ("peft_type", "IA3"),
        ("init_lora_weights", "pissa_niter_16"),
        ("init_lora_weights", "loftq"),
    ],
)
def test_unsupported_features_are_named(pair: tuple[Path, Path, Path], setting: str, value: object) -> None:
    base, adapter, output = pair
    _edit(adapter / "adapter_config.json", **{setting: value})
    with pytest.raises(ProblemError, match=setting):
        merge(base, adapter, output, None)
    assert not output.exists()


def _change_tensors(path: Path, renamed: Mapping[str, str], factor: float = 1.0) -> None:
    """Rename tensors by ends of their names, "" to drop them, and scale all of them."""
    from safetensors.torch import load_file, save_file

    changed = {}
    for name, value in load_file(path).items():
        end = next((end for end in renamed if name.endswith(end)), None)
        if end is None or renamed[end]:
            changed[name if end is None else name.removesuffix(end) + renamed[end]] = value * factor
    save_file(changed, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("renamed", "message"),
    [
        ({"0.self_attn.q_proj.lora_A.weight": ""}, "Only a part of the factors"),
        ({"1.self_attn.q_proj.lora_B.weight": ""}, "Only a part of the factors"),
        ({"1.self_attn.q_proj.lora_A.weight": "1.self_attn.q_proj.lora_diag"}, "Only a part"),
        (
            {
                "1.self_attn.q_proj.lora_A.weight": "7.self_attn.q_proj.lora_A.weight",
                "1.self_attn.q_proj.lora_B.weight": "7.self_attn.q_proj.lora_B.weight",
            },
            "base has no model.layers.7.self_attn.q_proj.weight",
        ),
        (
            {
                "1.self_attn.q_proj.lora_A.weight": "1.self_attn.k_proj.lora_A.weight",
                "1.self_attn.q_proj.lora_B.weight": "1.self_attn.k_proj.lora_B.weight",
            },
            "factors make",
        ),
    ],
)
def test_every_tensor_of_the_adapter_must_find_its_place(
    pair: tuple[Path, Path, Path], renamed: Mapping[str, str], message: str
) -> None:
    base, adapter, output = pair
    _change_tensors(adapter / "adapter_model.safetensors", renamed)
    with pytest.raises(ProblemError, match=message):
        merge(base, adapter, output, None)
    assert not output.exists()


def test_values_that_float16_cannot_hold_are_a_problem(pair: tuple[Path, Path, Path]) -> None:
    base, adapter, output = pair
    _change_tensors(base / "model.safetensors", {}, factor=1e6)
    merge(base, adapter, output, "bfloat16")
    with pytest.raises(ProblemError, match=r"infinite.*torch.float16"):
        merge(base, adapter, output, "float16")


def test_infinite_weights_are_a_problem(pair: tuple[Path, Path, Path]) -> None:
    base, adapter, output = pair
    _change_tensors(adapter / "adapter_model.safetensors", {}, factor=1e25)
    with pytest.raises(ProblemError, match="infinite"):
        merge(base, adapter, output, None)


@pytest.mark.parametrize("lora", [{"trainable_token_indices": [3, 126]}, {"target_modules": ["embed_tokens"]}])
def test_grown_vocabulary_that_was_not_saved_is_a_problem(
    folders: tuple[Path, Path, Path], lora: Mapping[str, Any]
) -> None:
    base, adapter, output = folders
    case = Case(lora, grown_by=8)
    _make_base(base, case)
    _make_adapter(base, adapter, case)
    path = adapter / "adapter_model.safetensors"
    _change_tensors(path, {"lm_head.weight": "", "token_adapter.base_layer.weight": ""})
    with pytest.raises(ProblemError, match=r"does not fit.*(128|126)"):
        merge(base, adapter, output, None)


def test_quantized_base_is_a_problem(pair: tuple[Path, Path, Path]) -> None:
    base, adapter, output = pair
    _edit(base / "config.json", quantization_config={"quant_method": "bitsandbytes"})
    with pytest.raises(ProblemError, match="quantized"):
        merge(base, adapter, output, None)


@pytest.mark.parametrize(("owner", "name"), [("base", "config.json"), ("adapter", "adapter_config.json")])
def test_unreadable_configuration_is_a_problem(pair: tuple[Path, Path, Path], owner: str, name: str) -> None:
    base, adapter, output = pair
    (base.parent / owner / name).write_text("{")
    with pytest.raises(ProblemError, match=name):
        merge(base, adapter, output, None)


def test_unknown_dtype_is_a_problem(pair: tuple[Path, Path, Path]) -> None:
    base, adapter, output = pair
    with pytest.raises(ProblemError, match="int4"):
        merge(base, adapter, output, "int4")


def test_language_model_inside_a_larger_model(pair: tuple[Path, Path, Path]) -> None:
    """Configurations of models that also see keep what concerns text in `text_config`."""
    base, adapter, output = pair
    shutil.rmtree(adapter)
    _make_adapter(base, adapter, Case({"modules_to_save": ["embed_tokens", "lm_head"]}, grown_by=8))
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({"dtype": "float32", "text_config": config}))
    merge(base, adapter, output, "bfloat16")
    merged = json.loads((output / "config.json").read_text())
    expected = {**config, "dtype": "bfloat16", "vocab_size": VOCABULARY + 8}
    assert merged == {"dtype": "bfloat16", "tie_word_embeddings": False, "text_config": expected}
