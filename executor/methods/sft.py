"""Supervised fine-tuning: the next token of the labelled ones, through TRL's SFTTrainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from executor.examples import TRAINED_ALONE
from executor.method import Method
from executor.stage import Stage
from executor.trainer_arguments import SFT
from planner.effects import Effect, setting

if TYPE_CHECKING:
    from executor.training import Run


@frozen
class Sft(Stage):
    """The fields of `method = "sft"`: those of every stage."""

    method: Literal["sft"] = setting("sft", effect=Effect.REBUILD, why="the training is another")


def trainer(run: Run) -> Any:  # noqa: ANN401  TRL has no types
    """A trainer that takes the token rows as they are: nothing is rendered, cut, packed or masked again."""
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from executor.lora import adapter_configuration, keep_adapters_exact
    from executor.token_files import TRAIN, VALIDATION

    tokenizer = run.tokenizer()
    rows = {"max_length": None, "packing": False, "dataset_kwargs": {"skip_prepare_dataset": True}}
    made = SFTTrainer(
        model=run.model(),
        args=SFTConfig(**{**rows, **run.arguments()}),
        data_collator=run.collator(tokenizer),
        train_dataset=run.rows(TRAIN),
        eval_dataset=run.rows(VALIDATION),
        processing_class=tokenizer,
        peft_config=adapter_configuration(run.settings["adapter"]),
    )
    made.remove_callback(PrinterCallback)
    keep_adapters_exact(made.model)
    return made


METHOD = Method(name="sft", specification=Sft, learns_from=TRAINED_ALONE, trainer_arguments=SFT, train=trainer)
