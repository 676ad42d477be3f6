"""One merge from beginning to end: the right bases, adapters folded in one after the other, proofs of the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from executor.merging.adapter_combination import combine
from executor.merging.combination import Combination
from executor.merging.expert_merge import merge_with_parameters
from executor.merging.merge_proof import Stack, compare_logits, prove_whole
from executor.models.dequantized_base import dequantized
from executor.models.shards import AS_IT_IS
from executor.models.trust import carried, trusts
from executor.workers.task import Input, Task
from executor.workers.worker_reports import Reporter
from state.canonical import Plain
from state.diagnostic import problem


def fold(task: Task, combination: Combination, scratch: Path, reporter: Reporter) -> Mapping[str, Plain]:
    """Fill the task's output folder with the merged model; returns facts of it.

    An adapter that was trained on the result of another is folded in after that one; those to be combined become one
    first. Raises a problem before anything is written if one of them was trained on something else.
    """
    whole, *chain = task.inputs["adapter"]
    others = task.inputs["others"]
    check_bases(whole, chain, others)
    base, trusted = Path(whole.folder), trusts([whole])
    for number, adapter in enumerate(chain[:-1], start=1):
        reporter.progress(number - 1, len(chain), "adapters")
        output = scratch / str(number)
        _merge(base, Path(adapter.folder), output, None, trusted=trusted)
        base = output
    below = Stack(Path(whole.folder), [Path(one.folder) for one in chain[:-1]], Path(chain[-1].folder), trusted)
    if task.settings["quantized_base"] == "dequantized":
        reporter.message("rounding the base as it was for training")
        base = dequantized(base, chain[-1].settings, scratch / "dequantized", trusted=trusted)
        below = Stack(base, [], below.last, trusted)
    last = below.last
    if others:
        together = {one.address: Path(one.folder) for one in (chain[-1], *others)}
        last = scratch / "combined"
        last.mkdir()
        combine(together, combination, last)
    dtype = str(task.settings["dtype"])
    reporter.progress(len(chain) - 1, len(chain), "adapters")
    size = str(task.settings["max_shard_size"])
    changed = _merge(base, last, task.output_folder, dtype, size, trusted=trusted)
    facts: dict[str, Plain] = {"changed_tensors": changed, **carried([whole])}
    if task.settings["check_logits"]:
        reporter.message("comparing logits with those of base and adapter")
        facts |= compare_logits(evolve(below, last=last), task.output_folder, dtype)
    return facts


def _merge(
    base: Path, adapter: Path, output: Path, dtype: str | None, max_shard_size: str = AS_IT_IS, *, trusted: bool
) -> int:
    """One adapter into one base, tensor by tensor if that is possible; returns how many tensors changed."""
    merged = merge_with_parameters(base, adapter, output, dtype, max_shard_size, trusted=trusted)
    return prove_whole(base, output, merged.outputs, merged.changed)


def check_bases(whole: Input, chain: Sequence[Input], others: Sequence[Input]) -> None:
    """Raise a problem unless every adapter was trained on exactly what it is to be folded into.

    What was imported may not say what it was trained on; then its shapes alone decide.
    """
    for adapter in (*chain, *others):
        below = [whole, *chain[: chain.index(adapter) if adapter in chain else -1]]
        trained_on = adapter.inputs.get("model", ())
        known = [one.digest for one in trained_on if one.digest]
        if known and known != [one.digest for one in below]:
            names = " with ".join(one.address for one in below)
            detail = f"{adapter.address} was trained on another {names}: other weights, or another revision."
            hint = "Go back to the base that it was trained on, or train it anew."
            raise problem("Another base", detail, hint)
