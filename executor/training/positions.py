"""How long rows may be for a model: behind its last position some have no vector, and others were never trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from executor.training.dropout import ANSWERS
from state.diagnostic import Diagnostic, Severity, problem

if TYPE_CHECKING:
    from executor.training.method import Fault
    from executor.workers.task import Task
    from planner.kind import Resource

COUNTED = ("max_position_embeddings", "n_positions", "max_seq_len")
"""What configurations call the number of positions."""
TABLED = frozenset(
    {
        "bart", "bert", "bert-generation", "big_bird", "bigbird_pegasus", "biogpt", "blenderbot", "blenderbot-small",
        "camembert", "codegen", "ctrl", "data2vec-text", "electra", "ernie", "gpt-sw3", "gpt2", "gpt_bigcode",
        "gpt_neo", "gptj", "marian", "mbart", "megatron-bert", "mpt", "mvp", "openai-gpt", "opt", "pegasus", "plbart",
        "prophetnet", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "trocr", "xlm",
        "xlm-roberta", "xlm-roberta-xl",
    }
)  # fmt: skip
"""Types that keep a table of positions and fail at the first row that is longer (measured: every type that transformers
has for causal language models, made small)."""
LENGTH = "sequence_len"
ROTARY = ("rope_scaling", "rope_parameters")
"""Where configurations say how rotary positions are stretched, some of them for each type of layer."""
BEFORE = "original_max_position_embeddings"


def position_faults(root: str, config: Mapping[str, Any], sequence_len: int, answers: int) -> Iterator[Fault]:
    """Rows, with what the model says to them, that may be longer than the table of positions that it has."""
    there, longest = positions(config, {}), sequence_len + answers
    if not _is_tabled(config) or not 0 < there < longest:
        return
    behind = f" with `{ANSWERS}`" if answers else ""
    hint = f"Set `{LENGTH}` to {there - answers} or less." if there > answers else f"Lower `{ANSWERS}`."
    yield LENGTH, f"rows may have {longest} tokens{behind}, and {root} has a vector for each of {there} positions", hint


def prove(config: Mapping[str, Any], task: Task) -> None:
    """Raise ProblemError if rows may be longer than a table of positions, of a model that no plan can look into."""
    length, root = cast("int", task.one("tokens").settings[LENGTH]), task.inputs["model"][0].address
    for path, detail, hint in position_faults(root, config, length, cast("int", task.settings.get(ANSWERS, 0))):
        raise problem("Contradicting fields", f"`{path}`: {detail}.", hint)


def untrained_positions(resource: Resource, root: Resource, config: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """A warning of rows that are asked to be longer than what the positions of a model were trained for."""
    stage: Any = resource.specification
    there = positions(config, root.specification.rope_scaling)
    longest = stage.sequence_len + getattr(stage, ANSWERS, 0)
    is_asked = LENGTH in resource.places and not root.specification.config
    if _is_tabled(config) or not is_asked or not 0 < there < longest:
        return
    detail = f"{resource.address}: rows may have {longest} tokens, and {root.address} was made for {there}."
    hint = f"Set `{LENGTH}` to {there} or less, or `rope_scaling` of {root.address}, which reaches further."
    yield Diagnostic("Untrained positions", detail, hint, resource.place(LENGTH), Severity.WARNING)


def _is_tabled(config: Mapping[str, Any]) -> bool:
    """Whether a model has a vector for each position that it knows, and for no other."""
    return config.get("text_config", config).get("model_type") in TABLED


def positions(config: Mapping[str, Any], scaling: Mapping[str, Any]) -> int:
    """How many positions a configuration promises, with what `rope_scaling` adds; 0 where it says nothing of them."""
    text = config.get("text_config", config)
    own: int = next((text[name] for name in COUNTED if isinstance(text.get(name), int)), 0)
    tables = [scaling, *(text.get(name) or {} for name in ROTARY)]
    tables += [inner for table in tables for inner in table.values() if isinstance(inner, Mapping)]
    reached = [one["factor"] * one.get(BEFORE, own) for one in tables if isinstance(one.get("factor"), int | float)]
    return int(max(own, *reached, 0))
