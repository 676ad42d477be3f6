"""The commands of servers that others wrote, for a model that exists: options that lead to exactly its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from executor.audit.identifiers import hub_commit, hub_id
from executor.audit.subject import Material
from executor.workers.task import Input
from state.diagnostic import ProblemError, problem
from state.values import frozen

INSTALLATION: Mapping[str, str] = {
    "vllm": "`pip install vllm`, into an environment of its own.",
    "tgi": "See https://huggingface.co/docs/text-generation-inference/installation.",
    "transformers": '`pip install "transformers[serving]"`.',
}
"""The servers that are known, and how each is installed."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `--max-lora-rank` (vllm/config/lora.py)."""


@frozen
class Served:
    """A model as servers are told of it: whole weights, and perhaps one adapter on them."""

    name: str
    base: str
    """A folder, or a hub id."""
    revision: str
    """The commit of a hub id; "" for a folder."""
    adapter: str = ""
    """The adapter's folder."""
    rank: int = 0


def served(materials: Sequence[Material], folders: Sequence[Input]) -> Served:
    """A model of these foundations; a problem for what no server loads."""
    whole, about = materials[0], materials[-1]
    from_hub = hub_id(whole) and not whole.record.artifact
    base, revision = (hub_id(whole), hub_commit(whole)) if from_hub else (folders[0].folder, "")
    if len(materials) == 1:
        return Served(about.address, base, revision)
    adapter = about.record.settings["adapter"]
    assert isinstance(adapter, Mapping)  # noqa: S101  an adapter has this table
    if len(materials) > 2:  # noqa: PLR2004  base and adapter
        raise _only_merged(f"{about.address} is an adapter on top of another adapter, which no server loads")
    if adapter.get("type") == "dora":
        raise _only_merged(f"{about.address} is a DoRA adapter, which vLLM and TGI do not load")
    return Served(about.address, base, revision, folders[-1].folder, _rank(adapter))


def _rank(adapter: Mapping[str, Any]) -> int:
    """The largest rank of an adapter's matrices, given its table in the recipe."""
    largest: int = max([adapter["r"], *adapter.get("rank_pattern", {}).values()])
    # What began with a part of the base gives that back in the end, as as many ranks again.
    return largest * 2 if str(adapter.get("init_lora_weights", "")).startswith(("pissa", "olora")) else largest


def command(server: str, model: Served) -> list[str]:
    """The command line that serves a model."""
    match server:
        case "vllm":
            return _vllm(model)
        case "tgi":
            revision = ["--revision", model.revision] if model.revision else []
            adapter = ["--lora-adapters", f"{model.name}={model.adapter}"] if model.adapter else []
            return ["text-generation-launcher", "--model-id", model.base, *revision, *adapter]
        case _:
            if model.adapter:
                raise _only_merged(f"{model.name} is an adapter, which `transformers serve` loads onto no given base")
            return ["transformers", "serve", f"{model.base}@{model.revision}" if model.revision else model.base]


def _vllm(model: Served) -> list[str]:
    revision = ["--revision", model.revision] if model.revision else []
    if not model.adapter:
        tokenizer = ["--tokenizer-revision", model.revision] if model.revision else []
        return ["vllm", "serve", model.base, *revision, *tokenizer, "--served-model-name", model.name]
    if model.rank > RANKS[-1]:
        raise _only_merged(f"{model.name} has rank {model.rank}, and vLLM takes up to {RANKS[-1]}")
    rank = next(one for one in RANKS if one >= model.rank)
    # The adapter's folder has the tokenizer and the template that it was trained with.
    tokenizer = ["--tokenizer", model.adapter]
    adapter = ["--enable-lora", "--max-lora-rank", str(rank), "--lora-modules", f"{model.name}={model.adapter}"]
    return ["vllm", "serve", model.base, *revision, *tokenizer, *adapter]


def _only_merged(why: str) -> ProblemError:
    return problem("Cannot be served", f"{why}.", "Merge it with a `[merge.NAME]`, and serve the merge.")
