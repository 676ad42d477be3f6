"""Whether a model itself draws random numbers while it trains, for dropout above all, as its configuration says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from state.canonical import Plain

DROPOUT = "dropout"
"""The fact whether a model has dropout of its own, which no field of a run says."""
RATE = re.compile(r"(?!classifier|summary)\w*(drop|jitter_noise)\w*")
"""The names of rates, in configurations and in modules, but for those of heads that no language model has."""
_BERT = ("attention_probs_dropout_prob", "hidden_dropout_prob")
_GPT = ("attn_pdrop", "embd_pdrop", "resid_pdrop")
UNLESS_SAID: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("gpt2", "gpt_bigcode", "openai-gpt"), _GPT),
    **dict.fromkeys(("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart"), ("dropout",)),
    **dict.fromkeys(("musicgen_decoder", "musicgen_melody_decoder", "mvp", "opt", "pegasus", "trocr"), ("dropout",)),
    **dict.fromkeys(("bert", "bert-generation", "big_bird", "biogpt", "camembert", "data2vec-text"), _BERT),
    **dict.fromkeys(("electra", "ernie", "git", "megatron-bert", "roberta", "roberta-prelayernorm"), _BERT),
    **dict.fromkeys(("roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod"), _BERT),
    **dict.fromkeys(("emu3_text_model", "gpt_neox_japanese"), ("attention_dropout",)),
    **dict.fromkeys(("plbart", "xglm", "xlm"), ("attention_dropout", "dropout")),
    "ctrl": ("embd_pdrop", "resid_pdrop"),
    "phimoe": ("router_jitter_noise",),
    "prophetnet": ("activation_dropout", "attention_dropout", "dropout"),
    "reformer": ("hidden_dropout_prob", "local_attention_probs_dropout_prob"),
    "seed_oss": ("attention_dropout", "residual_dropout"),
    "t5": ("dropout_rate",),
    "xlnet": ("dropout",),
}
"""The rates above zero that transformers assumes where a configuration leaves them out, by `model_type`."""


def fact(config: Mapping[str, Any], *, disabled: bool = False) -> dict[str, Plain]:
    """The fact as a configuration has it."""
    return {DROPOUT: drops_out(config) and not disabled}


def drops_out(config: Mapping[str, Any]) -> bool:
    """Whether a model with this configuration, or a part of it with its own, has a rate above zero."""
    if any(drops_out(one) for one in config.values() if isinstance(one, Mapping)):
        return True
    if any(_is_rate(name, value) for name, value in config.items()):
        return True
    return any(name not in config for name in UNLESS_SAID.get(str(config.get("model_type")), ()))


def switch_off(model: Any) -> None:  # noqa: ANN401  transformers has no types
    """Set every rate of a loaded model to zero: those that its modules hold as numbers, beside modules of dropout.

    TRL's `disable_dropout` reaches the modules of dropout alone; the attention of most models holds a number.
    """
    from torch.nn import Dropout

    for module in model.modules():
        names = [name for name, value in vars(module).items() if _is_rate(name, value)]
        for name in ("p", *names) if isinstance(module, Dropout) else names:
            setattr(module, name, 0.0)


def _is_rate(name: str, value: object) -> bool:
    is_above_zero = isinstance(value, int | float) and value is not True and value > 0
    return is_above_zero and RATE.fullmatch(name) is not None
