"""Models from their foundations: whole weights first, then each adapter folded in, in the order of training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from executor.models.quantization import BITS, fold, quantization
from executor.models.trust import load, trusts
from executor.tokens.tokenizer_files import has_tokenizer
from executor.workers.task import Input
from state.diagnostic import problem


def usable_attention(wanted: str, dtype: str) -> str:
    """The attention kernel that is meant; a problem if this machine does not have it.

    "auto" is flash attention where that is installed and computes in the dtype, else PyTorch's own.
    """
    from transformers.utils.import_utils import is_flash_attn_2_available, is_flash_attn_3_available

    flash = {"flash_attention_3": is_flash_attn_3_available, "flash_attention_2": is_flash_attn_2_available}
    if wanted == "auto":
        found = [name for name, available in flash.items() if dtype != "float32" and available()]
        return found[0] if found else "sdpa"
    if wanted in flash and not flash[wanted]():
        detail = f'attn_implementation = "{wanted}" needs a package that is not installed, or a GPU.'
        raise problem("No flash attention", detail, 'Use "auto" or "sdpa", or install `flash-attn`.')
    if wanted == "flex_attention" and not has_gpu():
        detail = 'attn_implementation = "flex_attention" computes no gradients without a GPU.'
        raise problem("No GPU", detail, 'Use "sdpa".')
    return wanted


def load_quantized(
    foundations: Sequence[Input],
    dtype: str,
    attention: str,
    configuration: Any,  # noqa: ANN401  transformers has no types
    scratch: Path,
) -> Any:  # noqa: ANN401  as above
    """The model that the inputs make up, its matrices as bitsandbytes is configured, what else it has in `dtype`.

    Adapters are folded in before anything is rounded, in files below `scratch`.
    """
    import torch

    with tempfile.TemporaryDirectory(dir=scratch, prefix="fold-") as folder:
        return load(
            "AutoModelForCausalLM",
            fold(foundations, Path(folder)),
            trusted=trusts(foundations),
            dtype=getattr(torch, dtype),
            attn_implementation=attention,
            quantization_config=configuration,
        )


def load_model(foundations: Sequence[Input], dtype: str, attention: str) -> Any:  # noqa: ANN401  transformers has no types
    """The model that the inputs make up, on the CPU, in the given dtype; adapters are merged into the weights."""
    import torch

    whole, *adapters = foundations
    model = load(
        "AutoModelForCausalLM",
        whole.folder,
        trusted=trusts(foundations),
        dtype=dtype if dtype == "auto" else getattr(torch, dtype),
        attn_implementation=attention,
    )
    for adapter in adapters:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter.folder).merge_and_unload(safe_merge=True)
        # PEFT has frozen the weights for the adapter's sake; merged, they are a model like any other.
        model.requires_grad_(requires_grad=True)
    return model


def load_as_trained(foundations: Sequence[Input], dtype: str, attention: str, scratch: Path) -> Any:  # noqa: ANN401  transformers has no types
    """The model that the inputs make up, to be asked: on the GPU if there is one, as its last training computed.

    An adapter that was trained beside weights in few bits is put beside these again, rounded as they were; "auto" is
    then the dtype of that training. All others are folded in (`load_model`). `scratch` is for adapters below it.
    """
    *below, last = foundations
    if is_beside_few_bits(foundations):
        from peft import PeftModel

        trained = "float16" if last.settings["fp16"] else "bfloat16" if last.settings["bf16"] else "float32"
        configuration = quantization(last.settings)
        base = load_quantized(below, trained if dtype == "auto" else dtype, attention, configuration, scratch)
        model: Any = PeftModel.from_pretrained(base, last.folder)
    else:
        model = load_model(foundations, dtype, attention)
    model = model.eval()
    return model.to("cuda") if has_gpu() and model.device.type != "cuda" else model


def is_beside_few_bits(foundations: Sequence[Input]) -> bool:
    """Whether the last of the inputs is an adapter that was trained beside weights in four or eight bits."""
    *below, last = foundations
    return bool(below) and any(last.settings.get(name) for name in BITS)


def load_tokenizer(foundations: Sequence[Input]) -> Any:  # noqa: ANN401  transformers has no types
    """The tokenizer that travels with a model: the newest folder that has one."""
    folder = next(one.folder for one in reversed(foundations) if has_tokenizer(Path(one.folder)))
    return load("AutoTokenizer", folder, trusted=trusts(foundations))


def padding_id(tokenizer: Any) -> int:  # noqa: ANN401  transformers has no types
    """What fills short rows; any id will do, for padding is never trained on and never attended to."""
    ids = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id, 0)
    return next(one for one in ids if one is not None)


def has_gpu() -> bool:
    """Whether to compute on a GPU."""
    import torch

    return torch.cuda.is_available()
