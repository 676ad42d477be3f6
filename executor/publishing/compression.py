"""A program, run by a Python that has llm-compressor: weights in few bits by AWQ or GPTQ, as compressed-tensors.

It imports nothing of tune's: llm-compressor follows transformers at a distance, and may live in an environment of its
own.
Arguments: the model's folder, the folder to fill, `awq-4bit` or its like, a JSON file with rows of token ids, the
tokenizer's folder (llm-compressor insists on one), the largest shard ("5GB"), and `trusted` where code that comes with
the model may be run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

GROUP = "W{bits}A16"
"""llm-compressor's schemes: weights in so many bits, in groups of 128 columns; AWQ's have a zero point each."""
KEPT = ("lm_head", "re:.*router$", "re:.*mlp.gate$", "re:.*block_sparse_moe.gate$")
"""Layers that keep all their bits: the output matrix, and what chooses between experts."""


def main(source: str, output: str, kind: str, rows: str, tokenizer: str, max_shard_size: str, *trust: str) -> None:
    """Write the weights and the configuration that says what they are."""
    import torch
    from llmcompressor import oneshot
    from torch.utils.data import DataLoader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    batches = [torch.tensor([one]) for one in json.loads(Path(rows).read_bytes())]
    dataset: Any = [{"input_ids": one, "attention_mask": torch.ones_like(one)} for one in batches]
    model: Any = AutoModelForCausalLM.from_pretrained(
        source, dtype="auto", local_files_only=True, trust_remote_code=trust == ("trusted",)
    )
    oneshot(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(tokenizer, local_files_only=True),
        dataset=DataLoader(dataset, batch_size=None),
        recipe=modifiers(kind),
        num_calibration_samples=len(batches),
    )
    model.save_pretrained(output, save_compressed=True, max_shard_size=max_shard_size)


def modifiers(kind: str) -> list[Any]:
    """What llm-compressor is to do for `gptq-4bit`, `gptq-8bit` or `awq-4bit`."""
    method, _, bits = kind.removesuffix("bit").partition("-")
    scheme = GROUP.format(bits=bits)
    if method == "gptq":
        from llmcompressor.modifiers.gptq import GPTQModifier

        return [GPTQModifier(targets=["Linear"], ignore=list(KEPT), scheme=scheme)]
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier

    return [AWQModifier(), QuantizationModifier(targets=["Linear"], ignore=list(KEPT), scheme=f"{scheme}_ASYM")]


if __name__ == "__main__":
    main(*sys.argv[1:])
