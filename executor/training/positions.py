"""How long rows may be for a model: behind its last position some have no vector, and others were never trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from executor.models.lineage import root_model
from executor.models.model_configuration import root_configuration
from executor.training.dropout import ANSWERS
from state.diagnostic import Diagnostic, Severity, problem

if TYPE_CHECKING:
    from executor.applying.probe import Surroundings
    from executor.workers.task import Task
    from planner.kind import Resource

COUNTED = ("max_position_embeddings", "n_positions", "max_seq_len")
"""What configurations call the number of positions."""
TABLED = frozenset(
    {
        *("bart", "bert", "bert-generation", "big_bird", "bigbird_pegasus", "biogpt", "blenderbot", "blenderbot-small"),
        *("camembert", "codegen", "ctrl", "data2vec-text", "electra", "ernie", "gpt-sw3", "gpt2", "gpt_bigcode"),
        *(
            "gpt_neo",
            "gptj",
            "marian",
            "mbart",
            "megatron-bert",
            "mpt",
            "mvp",
            "openai-gpt",
            "opt",
            "pegasus",
            "plbart",
        ),
        *("prophetnet", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "trocr", "xlm"),
        *("xlm-roberta", "xlm-roberta-xl"),
    }
)
"""Types that keep a table of positions and fail at the first row that is longer (measured: every type that transformers
has for causal language models, made small)."""
LENGTH = "sequence_len"
ROTARY = ("rope_scaling", "rope_parameters")
"""Where configurations say how rotary positions are stretched, some of them for each type of layer."""
BEFORE = "original_max_position_embeddings"


def position_diagnostics(resource: Resource, surroundings: Surroundings) -> Iterator[Diagnostic]:
    """Rows that may be longer than the model has positions, as far as its configuration can be read here."""
    stage: Any = resource.specification
    root = root_model(stage.model, surroundings.resources)
    model = surroundings.resources[root].specification
    config = root_configuration(stage.model, surroundings.resources, surroundings.folder)
    if fault := fault_of(config, root, stage.sequence_len, getattr(stage, ANSWERS, 0)):
        detail, hint = fault
        yield Diagnostic(
            "Contradicting fields", f"{resource.address}.{LENGTH}: {detail}.", hint, resource.place(LENGTH)
        )
        return
    longest, there = stage.sequence_len + getattr(stage, ANSWERS, 0), positions(config, model.rope_scaling)
    if there and longest > there and not model.config and LENGTH in resource.places:
        detail = f"{resource.address}: rows may have {longest} tokens, and {root} was made for {there}."
        hint = f"Set `{LENGTH}` to {there} or less, or `rope_scaling` of {root}, which reaches further."
        yield Diagnostic("Untrained positions", detail, hint, resource.place(LENGTH), Severity.WARNING)


def prove(config: Mapping[str, Any], task: Task) -> None:
    """Raise ProblemError if rows may be longer than a table of positions, of a model that no plan can look into."""
    length, root = cast("int", task.one("tokens").settings[LENGTH]), task.inputs["model"][0].address
    if fault := fault_of(config, root, length, cast("int", task.settings.get(ANSWERS, 0))):
        detail, hint = fault
        raise problem("Contradicting fields", f"`{LENGTH}`: {detail}.", hint)


def fault_of(config: Mapping[str, Any], root: str, sequence_len: int, answers: int) -> tuple[str, str] | None:
    """What is wrong with rows of such a length, and with what the model says to them, and what to do."""
    there, longest = positions(config, {}), sequence_len + answers
    if not there or longest <= there or config.get("text_config", config).get("model_type") not in TABLED:
        return None
    behind = f" with `{ANSWERS}`" if answers else ""
    hint = f"Set `{LENGTH}` to {there - answers} or less." if there > answers else f"Lower `{ANSWERS}`."
    return f"rows may have {longest} tokens{behind}, and {root} has a vector for each of {there} positions", hint


def positions(config: Mapping[str, Any], scaling: Mapping[str, Any]) -> int:
    """How many positions a configuration promises, with what `rope_scaling` adds; 0 where it says nothing of them."""
    text = config.get("text_config", config)
    own: int = next((text[name] for name in COUNTED if isinstance(text.get(name), int)), 0)
    tables = [scaling, *(text.get(name) or {} for name in ROTARY)]
    tables += [inner for table in tables for inner in table.values() if isinstance(inner, Mapping)]
    reached = [one["factor"] * one.get(BEFORE, own) for one in tables if isinstance(one.get("factor"), int | float)]
    return int(max(own, *reached, 0))
