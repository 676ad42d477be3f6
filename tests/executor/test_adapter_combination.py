"""Combined adapters compared bit for bit with PEFT's `add_weighted_adapter`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from executor.merging.adapter_combination import combine
from executor.merging.combination import CHANCE, Combination
from executor.merging.lora_merge import merge
from executor.models.tensor_files import tensor_digests
from state.canonical import digest
from state.diagnostic import ProblemError

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

WEIGHTS = (0.7, -0.4)


def _base(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4)).save_pretrained(folder)


def _adapter(base: Path, folder: Path, seed: int, **lora: Any) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = {"target_modules": ["q_proj", "v_proj"], "r": 8, "lora_alpha": 12, "task_type": "CAUSAL_LM", **lora}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**settings))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    base = folder / "base"
    _base(base)
    return {
        "base": base,
        "one": _adapter(base, folder / "one", 1),
        "other": _adapter(base, folder / "other", 2, lora_alpha=32, target_modules=["v_proj", "up_proj"]),
        "smaller": _adapter(base, folder / "smaller", 3, r=4, use_rslora=True),
        "embedding": _adapter(base, folder / "embedding", 4, target_modules=["embed_tokens", "q_proj"]),
        "dora": _adapter(base, folder / "dora", 5, use_dora=True),
    }


def _theirs(folders: dict[str, Path], names: tuple[str, str], wanted: Combination, output: Path) -> None:
    """PEFT's own, drawing for each module from where we do."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM
    model: Any = PeftModel.from_pretrained(loaded.from_pretrained(folders["base"]), folders[names[0]])
    model.load_adapter(folders[names[1]], adapter_name="second")
    inner = model.base_model
    combined = {one: name for name, one in model.get_base_model().named_modules()}
    theirs = inner._generalized_task_arithmetic_weighted_adapter

    def seeded(kind: str, adapters: list[str], weights: list[float], target: Any, *rest: Any) -> Any:
        torch.manual_seed(int(digest([wanted.seed, combined[target] + ".weight"])[:15], 16))
        return theirs(kind, adapters, weights, target, *rest)

    inner._generalized_task_arithmetic_weighted_adapter = seeded
    model.add_weighted_adapter(
        ["default", "second"],
        list(wanted.weights),
        "both",
        combination_type=wanted.combination_type,
        density=wanted.density,
        majority_sign_method=wanted.majority_sign_method,
    )
    model.set_adapter("both")
    merged = model.merge_and_unload(safe_merge=True, adapter_names=["both"])
    merged.save_pretrained(output)


@pytest.mark.parametrize(
    ("kind", "names", "sign"),
    [
        ("linear", ("one", "other"), "total"),
        ("cat", ("one", "other"), "total"),
        ("cat", ("one", "smaller"), "total"),
        ("cat", ("one", "embedding"), "total"),
        ("linear", ("one", "embedding"), "total"),
        ("ties", ("one", "other"), "total"),
        ("ties", ("one", "other"), "frequency"),
        ("magnitude_prune", ("one", "other"), "total"),
        ("dare_linear", ("one", "other"), "total"),
        ("dare_ties", ("one", "other"), "frequency"),
    ],
)
def test_combined_adapters_are_bitwise_what_peft_makes(
    folders: dict[str, Path], kind: str, names: tuple[str, str], sign: str, tmp_path: Path
) -> None:
    wanted = Combination(WEIGHTS, kind, 0.6, sign, seed=7)
    _theirs(folders, names, wanted, tmp_path / "theirs")
    (tmp_path / "combined").mkdir()
    combine({name: folders[name] for name in names}, wanted, tmp_path / "combined")
    merge(folders["base"], tmp_path / "combined", tmp_path / "ours", None)
    assert tensor_digests(tmp_path / "ours") == tensor_digests(tmp_path / "theirs")
    assert tensor_digests(tmp_path / "ours") != tensor_digests(folders["base"])


@pytest.mark.parametrize("kind", CHANCE)
def test_what_is_drawn_follows_the_seed(folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    found = []
    for at, seed in enumerate((1, 1, 2)):
        (tmp_path / str(at)).mkdir()
        both = {"one": folders["one"], "other": folders["other"]}
        combine(both, Combination(WEIGHTS, kind, 0.5, "total", seed), tmp_path / str(at))
        found.append(tensor_digests(tmp_path / str(at)))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("name", "message"), [("dora", r"dora does more to .*q_proj"), ("smaller", "the ranks 8 and 4, and linear needs")]
)
def test_what_cannot_be_combined_is_named(folders: dict[str, Path], name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=message):
        combine(
            {"one": folders["one"], name: folders[name]}, Combination(WEIGHTS, "linear", 1.0, "total", 42), tmp_path
        )
    assert not list(tmp_path.iterdir())
