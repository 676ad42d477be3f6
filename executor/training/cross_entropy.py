"""How the loss of the next token is computed: with all logits in memory, in pieces, or in pieces by a fused kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from executor.models.adapter_fields import HEADS
from state.diagnostic import problem

CrossEntropy: TypeAlias = Literal["auto", "standard", "chunked", "fused"]


def chosen(settings: Mapping[str, Any]) -> str:
    """The way that is meant on this machine; a problem if it does not have it.

    "auto" is TRL's own choice: fused where there are Triton and a GPU, in chunks elsewhere. A smoothed loss needs all
    logits, and so does a head whose gradients FSDP is to gather.
    """
    from trl.kernels import chunked_logprob

    from executor.models.loading import has_gpu

    wanted, can_fuse = settings["cross_entropy"], has_gpu() and chunked_logprob._TRITON_AVAILABLE  # noqa: SLF001  as TRL asks
    if settings["label_smoothing_factor"] or adds_up_apart(settings["distributed"]["strategy"], settings["adapter"]):
        return "standard"
    if wanted == "fused" and not can_fuse:
        detail = 'cross_entropy = "fused" needs Triton and a GPU.'
        raise problem("No GPU", detail, 'Use "auto", which computes the same in chunks here.')
    if wanted != "auto":
        return str(wanted)
    return "fused" if can_fuse else "chunked"


def adds_up_apart(strategy: str, adapter: Any) -> bool:  # noqa: ANN401  a table, resolved or not
    """Whether a loss that reads the weights of the head itself would leave each process with gradients of its own rows.

    Of a head that is trained beside an adapter, FSDP shares out the copy by itself (measured: 4.998 and 4.980).
    """
    if adapter is None or strategy != "fsdp":
        return False
    whole = adapter["modules_to_save"] if isinstance(adapter, Mapping) else adapter.modules_to_save
    return any(one in HEADS for one in whole)


def arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What TRL's SFTTrainer is told, which fuses where it can and is else kept from it."""
    way = chosen(settings)
    if way == "chunked":
        from trl.kernels import chunked_logprob

        # There is no switch; this process trains nothing else.
        chunked_logprob._TRITON_AVAILABLE = False  # noqa: SLF001
    return {"compute_loss_func": _of_logits} if way == "standard" and not settings["label_smoothing_factor"] else {}


def prove(trainer: Any, settings: Mapping[str, Any]) -> None:  # noqa: ANN401  TRL has no types
    """Raise ProblemError where a loss from all logits would leave out what routers of experts add to it."""
    if chosen(settings) == "standard" and trainer.aux_loss_enabled:
        detail = "The loss of this model's routers is added to one in chunks only."
        raise problem("Contradicting fields", detail, "Remove `cross_entropy` and `label_smoothing_factor`.")


def _of_logits(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ANN401  tensors
    from transformers.loss.loss_utils import ForCausalLMLoss

    return ForCausalLMLoss(outputs.logits, labels, outputs.logits.shape[-1], num_items_in_batch)


def faults(stage: Any) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  a stage of supervised fine-tuning
    """What does not go with the way that a recipe asks for: path, detail, hint."""
    wanted = stage.cross_entropy
    if wanted in ("chunked", "fused") and adds_up_apart(stage.distributed.strategy, stage.adapter):
        yield "cross_entropy", "FSDP gathers the gradients of a trained head only from all logits", 'Use "auto".'
    if stage.label_smoothing_factor and wanted in ("chunked", "fused"):
        yield "cross_entropy", "a smoothed loss needs all logits", 'Use "auto", or remove `label_smoothing_factor`.'
    if wanted == "standard" and stage.trainer.get("loss_type") == "dft":
        yield "cross_entropy", 'trainer.loss_type = "dft" is computed in chunks only', 'Use "auto".'
    if stage.label_smoothing_factor and stage.trainer.get("loss_type") == "dft":
        yield "label_smoothing_factor", 'trainer.loss_type = "dft" smooths nothing', "Remove one of them."
