"""What a recipe asks of a trainer that no configuration class can be told: LoRA+, LoftQ, layers that stay frozen."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from executor.models.lora import ADAPTER
from executor.models.peft_adapter import PREFIX
from executor.models.quantization import fold
from executor.models.tensor_files import read_headers
from executor.workers.task import Input
from state.diagnostic import problem

RATIO = "lr_ratio"
"""Of a group of parameters: its learning rate over that of the recipe; a checkpoint keeps it."""


def freeze(model: Any, unfrozen: Sequence[str]) -> None:  # noqa: ANN401  transformers has no types
    """Freeze all parameters whose names begin like none of the regular expressions; none if there are none."""
    if not unfrozen:
        return
    names = [name for name, _ in model.named_parameters()]
    for pattern in unfrozen:
        if not any(re.match(pattern, name) for name in names):
            detail = f'No parameter fits "{pattern}" of `unfrozen_parameters`.'
            raise problem("Nothing of that name", detail, f"The model's begin like `{names[0]}` and `{names[-1]}`.")
    for name, parameter in model.named_parameters():
        parameter.requires_grad = any(re.match(pattern, name) for pattern in unfrozen)


def let_the_end_be_learnt(model: Any, tokenizer: Any) -> None:  # noqa: ANN401  transformers has no types
    """Have the row of the end token trained where a model pads with it: PyTorch keeps gradients from a padding's row.

    What pads is masked and has no label, so that its row learns nothing from being there.
    """
    embedding = model.get_input_embeddings()
    if getattr(embedding, "padding_idx", None) == tokenizer.eos_token_id:
        embedding.padding_idx = None


def start_from_what_was_lost(model: Any, foundations: Sequence[Input], scratch: Path) -> None:  # noqa: ANN401  PEFT has no types
    """LoftQ (https://arxiv.org/abs/2310.08659), one round: an adapter starts as the best part of what four bits lost.

    PEFT's own function for this needs a GPU, and does not know of scaling.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft.tuners.lora.bnb import Linear4bit
    from safetensors import safe_open

    with tempfile.TemporaryDirectory(dir=scratch, prefix="fold-") as folder:
        tensors = read_headers(fold(foundations, Path(folder)))
        for name, module in model.named_modules():
            if not isinstance(module, Linear4bit):
                continue
            held: Any = module.weight
            stored = f"{name.removeprefix(PREFIX)}.weight"
            with safe_open(tensors[stored][0], framework="pt") as file:
                exact = file.get_tensor(stored).float().to(held.device)
            lost = exact - dequantize_4bit(held.data, held.quant_state).float()
            left, weights, right = torch.linalg.svd(lost, full_matrices=False)
            rank, root = module.r[ADAPTER], weights.sqrt()
            down, up = root[:rank, None] * right[:rank], left[:, :rank] * root[:rank] / module.scaling[ADAPTER]
            module.lora_A[ADAPTER].weight.data, module.lora_B[ADAPTER].weight.data = down, up


def use_loraplus(trainer: Any, settings: Mapping[str, Any]) -> None:  # noqa: ANN401  TRL has no types
    """LoRA+ (https://arxiv.org/abs/2402.12354): the second matrices learn faster by `loraplus_lr_ratio`."""
    from peft.optimizers import create_loraplus_optimizer

    optimizer, arguments = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    rate = arguments.pop("lr")
    trainer.optimizer = create_loraplus_optimizer(
        trainer.model,
        optimizer,
        lr=rate,
        loraplus_lr_ratio=settings["loraplus_lr_ratio"],
        loraplus_lr_embedding=settings["loraplus_lr_embedding"],
        loraplus_weight_decay=settings["weight_decay"],
        **arguments,
    )
    for group in trainer.optimizer.param_groups:
        group[RATIO] = group["lr"] / rate
