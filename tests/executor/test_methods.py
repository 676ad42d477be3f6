"""Every method against the same training written by hand with TRL, on a very small model in this process."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field

from executor import methods
from executor.data.dataset_fields import Dataset
from executor.kinds.dataset import identity
from executor.kinds.tokens import Tokens
from executor.kinds.tokens import build as build_tokens
from executor.methods.cpo import Cpo
from executor.methods.distillation import Distillation
from executor.methods.dpo import Dpo
from executor.methods.grpo import Grpo
from executor.methods.kto import Kto
from executor.methods.orpo import Orpo
from executor.methods.reward import Reward
from executor.methods.rloo import Rloo
from executor.methods.sft import Sft
from executor.methods.simpo import Simpo
from executor.models.adapter_fields import Adapter
from executor.models.model_files import initialise
from executor.tokens.token_files import TRAIN, read_columns
from executor.training.checkpoint_fields import Checkpoints
from executor.training.evaluation_fields import Evaluation
from executor.training.run_schedule import schedule_of
from executor.training.stage import Stage
from executor.training.trainer_arguments import COMMON
from executor.training.trainer_table import FORBIDDEN, OWNED, UNHEEDED
from executor.training.trainer_values import CHOICES, NUMBERS, SWITCHES, WHOLE_NUMBERS
from executor.training.training import train
from executor.workers.events import Message
from executor.workers.task import Input, Task
from executor.workers.worker_reports import Reporter, StopRequestedError
from planner.structure import settings_of
from state.canonical import Plain
from state.files import digest_file
from tests.executor.test_training import (  # noqa: F401  fixtures are found by their names
    ARCHITECTURE,
    MANY,
    TEMPLATE,
    Laboratory,
    StopAfter,
    Trained,
    _fresh,
    _keep_handler,
    _kept,
    _task,
    laboratory,
    resumed,
)

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

STEPS = 5
PAIRS: list[dict[str, Plain]] = [
    {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": answer}],
        "rejected": [{"role": "assistant", "content": f"No. {'bad' * (at % 4)}"}],
    }
    for at, ((_, question), (_, answer)) in enumerate(MANY)
]
JUDGED: list[dict[str, Plain]] = [
    {"prompt": one["prompt"], "completion": one["chosen" if at % 3 else "rejected"], "label": bool(at % 3)}
    for at, one in enumerate(PAIRS)
]
TEXTS: list[dict[str, Plain]] = [
    {"prompt": question, "chosen": f" {answer}", "rejected": f" No. {'bad' * (at % 4)}"}
    for at, ((_, question), (_, answer)) in enumerate(MANY)
]
"""ORPO's and CPO's own preparation puts a second end behind that of a chat template, which ours does not."""
QUESTIONS: list[dict[str, Plain]] = [{"prompt": one["prompt"], "answer": "It"} for one in PAIRS[:4]]
"""Two to a step of four completions: an epoch of two steps."""
CHATS: list[dict[str, Plain]] = [
    {"messages": [{"role": role, "content": text} for role, text in conversation]} for conversation in MANY
]
ASKED: list[dict[str, Plain]] = [{"prompt": one["prompt"]} for one in PAIRS[:8]]
COMMON_FIELDS: dict[str, Any] = {
    "model": "model.tiny",
    "datasets": ("dataset.rows",),
    "learning_rate": 1e-3,
    "lr_scheduler": "linear",
    "batch_size": 4,
    "micro_batch_size": 2,
    "max_steps": STEPS,
    "sequence_len": 96,
    "logging_steps": 1,
    "bf16": False,
    "checkpoints": Checkpoints(save_steps=100, save_total_limit=10),
}
VOWELS = """
def vowels(completions, answer, **_):
    texts = [one[0]["content"] for one in completions]
    return [sum(map(text.count, "aeiou")) / (1 + len(wanted)) for text, wanted in zip(texts, answer)]
"""
COUNTED = """
def counted(completions, **_):
    return [float(len(one[0]["content"])) for one in completions]


def halved(completions, **_):
    return [one / 2 for one in counted(completions)]
"""
LORA = Adapter(r=4, lora_alpha=8)


@define
class Bench:
    """Where methods are tried: token rows and straight runs are made once."""

    laboratory: Laboratory
    made: dict[str, Input] = field(factory=dict)
    straight_runs: dict[str, Trained] = field(factory=dict)

    def tokens(self, layout: str, kind: str, rows: list[dict[str, Plain]]) -> Input:
        key = f"{layout} {len(rows)} {rows[0]}"
        if key not in self.made:
            folder = _fresh(self.laboratory.folder, "rows")
            (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            dataset = settings_of(Dataset(source=str(folder / "rows.jsonl"), type=kind))
            digest = identity(dataset, [digest_file(folder / "rows.jsonl")])
            wanted = Tokens(
                datasets=("dataset.rows",),
                model="model.tiny",
                sequence_len=96,
                excess_length_strategy="error",
                roles_to_train=("assistant",),
                layout=layout,  # type: ignore[arg-type]
            )
            model = self.laboratory.model
            inputs = {
                "datasets": (Input("dataset.rows", digest, str(folder), dataset, {"rows": len(rows)}),),
                "tokenizer": (model,),
                "chat_template": (model,),
            }
            task = _task(folder, "tokens.rows", settings_of(wanted), inputs)
            found = build_tokens(task, Reporter(task.address, lambda _: None))
            self.made[key] = Input(
                "tokens.rows", found.output_digest, str(task.output_folder), settings_of(wanted), found.facts
            )
        return self.made[key]

    def teacher(self) -> Input:
        """Another model with the same tokenizer."""
        folder = self.laboratory.folder / "teacher"
        if not folder.is_dir():
            folder.mkdir()
            initialise({**ARCHITECTURE, "hidden_size": 48}, 2, self.laboratory.folder / "tokenizer", TEMPLATE, folder)
        return evolve(self.laboratory.model, folder=str(folder))

    def task(self, name: str) -> Task:
        case = CASES[name]
        inputs = {"model": (self.laboratory.model,), "tokens": (self.tokens(*ROWS[type(case)]),)}
        if isinstance(case, Distillation):
            inputs["teacher"] = (self.teacher(),)
        folder = _fresh(self.laboratory.folder, "stage")
        (folder / "rewards.py").write_text(VOWELS)
        settings: dict[str, Any] = {**settings_of(case)}
        if name.endswith(" lora"):  # a length in epochs, which must be as many steps as plans count
            rows: Any = inputs["tokens"][0].facts["rows"]
            epoch = schedule_of({**settings, "max_steps": 0, "num_epochs": 1.0}, rows).total_steps
            settings |= {"max_steps": 0, "num_epochs": STEPS / epoch}
        return _task(folder, "train.it", settings, inputs)

    def straight(self, name: str) -> Trained:
        if name not in self.straight_runs:
            self.straight_runs[name] = run(self.task(name))
        return self.straight_runs[name]


def run(task: Task) -> Trained:
    said: list[Any] = []
    method = methods.load()[str(task.settings["method"])]
    return Trained(task, train(method, task, Reporter(task.address, said.append)), said)


@pytest.fixture(scope="module")
def bench(laboratory: Laboratory) -> Bench:  # noqa: F811
    return Bench(laboratory)


SFT = Sft(**COMMON_FIELDS)
DPO = Dpo(**COMMON_FIELDS)
KTO = Kto(**COMMON_FIELDS, undesirable_weight=0.8)
REWARD = Reward(**COMMON_FIELDS, center_rewards_coefficient=0.01)
ORPO = Orpo(**COMMON_FIELDS)
CPO = Cpo(**COMMON_FIELDS, label_smoothing=0.1)
SIMPO = Simpo(**COMMON_FIELDS, cpo_alpha=0.5)
DRAWN: dict[str, Any] = {**COMMON_FIELDS, "num_generations": 2, "max_completion_length": 6}
GRPO = Grpo(**DRAWN, reward_functions=("length", "rewards.py:vowels"), reward_weights=(1.0, 0.5))
RLOO = Rloo(**DRAWN, reward_functions=("length", "rewards.py:vowels"), reward_weights=(1.0, 0.5))
DISTILLED = Distillation(**COMMON_FIELDS, max_completion_length=6, teacher="model.large", beta=0.5)
CASES: dict[str, Stage] = {
    "sft": SFT,  # how it is resumed is tried in test_training.py
    "sft of an adapter": evolve(SFT, adapter=LORA),
    "dpo full": DPO,
    "dpo lora": evolve(DPO, adapter=LORA),
    "dpo precomputed": evolve(DPO, precompute_ref_log_probs=True),
    "dpo precomputed lora": evolve(DPO, adapter=LORA, precompute_ref_log_probs=True),
    "kto full": KTO,
    "kto lora": evolve(KTO, adapter=LORA),
    "kto precomputed": evolve(KTO, precompute_ref_log_probs=True),
    "kto unpaired": evolve(KTO, loss_type="apo_zero_unpaired"),
    "reward full": REWARD,
    "reward lora": evolve(REWARD, adapter=LORA),
    "orpo full": ORPO,
    "orpo lora": evolve(ORPO, adapter=LORA),
    "cpo full": CPO,
    "cpo lora": evolve(CPO, adapter=LORA),
    "simpo full": SIMPO,
    "simpo lora": evolve(SIMPO, adapter=LORA),
    "grpo full": GRPO,
    "grpo lora": evolve(GRPO, adapter=LORA, beta=0.04),
    "rloo full": RLOO,
    "rloo lora": evolve(RLOO, adapter=LORA),
    "distillation full": DISTILLED,
    "distillation lora": evolve(DISTILLED, adapter=LORA),
    "dpo of two losses": evolve(DPO, loss_type=("sigmoid", "sft"), loss_weights=(1.0, 0.5)),
}
ROWS: dict[type, tuple[str, str, list[dict[str, Plain]]]] = {
    Sft: ("documents", "chat_template", CHATS),
    Dpo: ("pairs", "preference", PAIRS),
    Reward: ("pairs", "preference", PAIRS),
    Kto: ("judged", "kto", JUDGED),
    **dict.fromkeys((Orpo, Cpo, Simpo), ("pairs", "preference", TEXTS)),
    **dict.fromkeys((Grpo, Rloo), ("prompts", "prompt", QUESTIONS)),
    Distillation: ("prompts", "prompt", ASKED),
}
LOSSES = {  # beside the one that most people use
    "hinge": {}, "ipo": {}, "exo_pair": {"label_smoothing": 0.001}, "nca_pair": {}, "robust": {"label_smoothing": 0.1},
    "bco_pair": {}, "sppo_hard": {}, "aot": {}, "aot_unpaired": {}, "apo_zero": {}, "apo_down": {}, "discopop": {},
    "sft": {}, "sigmoid_norm": {},
}  # fmt: skip


def by_hand(bench: Bench, name: str) -> list[float]:
    """The losses of the first steps of a script with TRL, which renders, tokenizes and pads by itself."""
    from datasets import Dataset as Table
    from peft import LoraConfig
    from transformers import AutoTokenizer

    case: Any = CASES[name]
    folder = str(bench.laboratory.model.folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    output = _fresh(bench.laboratory.folder, "script")
    arguments = {
        "output_dir": str(output),
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "max_steps": STEPS,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "linear",
        "logging_steps": 1,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "seed": 42,
    }
    adapter = None
    if case.adapter is not None:
        task = "SEQ_CLS" if isinstance(case, Reward) else "CAUSAL_LM"
        adapter = LoraConfig(task_type=task, r=4, lora_alpha=8, target_modules="all-linear")
    table = Table.from_list(ROWS[type(case)][2])
    trainer = SCRIPTS[type(case)](case, folder, tokenizer, table, arguments, adapter)
    trainer.train()
    return [one["loss"] for one in trainer.state.log_history if "loss" in one]


def sft_script(_: Sft, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any) -> Any:
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    config = SFTConfig(**arguments, assistant_only_loss=True)
    return SFTTrainer(folder, args=config, train_dataset=table, processing_class=tokenizer, peft_config=adapter)


def dpo_script(case: Dpo, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any) -> Any:
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    losses = {"loss_type": list(case.loss_type), "loss_weights": list(case.loss_weights)}
    own = losses if case.loss_weights else {"loss_type": case.loss_type, "label_smoothing": case.label_smoothing}
    config = DPOConfig(**arguments, **own, beta=0.1)
    return DPOTrainer(folder, args=config, train_dataset=table, processing_class=tokenizer, peft_config=adapter)


def kto_script(case: Kto, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any) -> Any:
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    config = KTOConfig(**arguments, loss_type=case.loss_type, undesirable_weight=0.8, beta=0.1)
    return KTOTrainer(folder, args=config, train_dataset=table, processing_class=tokenizer, peft_config=adapter)


def reward_script(
    _: Reward, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any
) -> Any:
    from transformers import AutoModelForSequenceClassification, set_seed
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    config = RewardConfig(**arguments, center_rewards_coefficient=0.01)
    set_seed(42)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    return RewardTrainer(model, args=config, train_dataset=table, processing_class=tokenizer, peft_config=adapter)


def unreferred_script(
    case: Any, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any
) -> Any:
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    trainer: Any = ORPOTrainer if isinstance(case, Orpo) else CPOTrainer
    match case:
        case Orpo():
            config: Any = ORPOConfig(**arguments, beta=0.1)
        case Cpo():
            config = CPOConfig(**arguments, beta=0.1, label_smoothing=0.1)
        case _:
            config = CPOConfig(**arguments, loss_type="simpo", beta=2.0, simpo_gamma=1.0, cpo_alpha=0.5)
    return trainer(folder, args=config, train_dataset=table, processing_class=tokenizer, peft_config=adapter)


def rewarded_script(
    case: Grpo | Rloo, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any
) -> Any:
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    def short(completion_ids: Any, **_: Any) -> list[float]:
        return [-len(one) / 1000 for one in completion_ids]

    own: dict[str, Any] = {}
    exec(VOWELS, own)  # noqa: S102  the same text as in the file of the recipe
    drawn: dict[str, Any] = {"num_generations": 2, "max_completion_length": 6, "reward_weights": [1.0, 0.5]}
    trainer: Any = GRPOTrainer if isinstance(case, Grpo) else RLOOTrainer
    configuration: Any = GRPOConfig if isinstance(case, Grpo) else RLOOConfig
    return trainer(
        folder,
        reward_funcs=[short, own["vowels"]],
        args=configuration(**arguments, **drawn, beta=case.beta),
        train_dataset=table,
        processing_class=tokenizer,
        peft_config=adapter,
    )


def taught_script(
    _: Distillation, folder: str, tokenizer: Any, table: Any, arguments: Mapping[str, Any], adapter: Any
) -> Any:
    from trl.trainer.distillation_config import DistillationConfig
    from trl.trainer.distillation_trainer import DistillationTrainer

    return DistillationTrainer(
        folder,
        teacher_model=str(Path(folder).parent / "teacher"),
        args=DistillationConfig(**arguments, max_completion_length=6, beta=0.5),
        train_dataset=table,
        processing_class=tokenizer,
        peft_config=adapter,
    )


SCRIPTS: dict[type, Callable[..., Any]] = {
    Distillation: taught_script,
    **dict.fromkeys((Grpo, Rloo), rewarded_script),
    Sft: sft_script,
    Dpo: dpo_script,
    Kto: kto_script,
    Reward: reward_script,
    **dict.fromkeys((Orpo, Cpo, Simpo), unreferred_script),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_losses_are_those_of_a_script_written_by_hand(bench: Bench, name: str) -> None:
    losses = [one["loss"] for one in bench.straight(name).log if "loss" in one]
    assert len(losses) == STEPS
    assert losses == pytest.approx(by_hand(bench, name), abs=1e-5)


@pytest.mark.parametrize("name", [one for one in CASES if one.endswith((" full", " lora"))])
def test_interrupted_and_resumed_is_bitwise_straight(bench: Bench, name: str) -> None:
    said: list[Any] = []
    task = bench.task(name)
    with pytest.raises(StopRequestedError):
        train(methods.load()[str(task.settings["method"])], task, StopAfter(task.address, said.append, step=2))
    made = run(resumed(task, _kept(said)))
    assert made.outcome.facts["resumed_from"] == 3
    assert made.weights == bench.straight(name).weights


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_of_trl_can_be_had(bench: Bench, loss: str) -> None:
    task = bench.task("dpo full")
    stage = evolve(DPO, loss_type=loss, max_steps=1, **LOSSES[loss])  # type: ignore[arg-type]
    CASES[loss] = stage
    made = run(evolve(task, settings=settings_of(stage)))
    assert made.log[0]["loss"] == pytest.approx(by_hand(bench, loss)[0], abs=1e-5)


@pytest.mark.parametrize("name", ["grpo full", "rloo full", "distillation full"])
def test_answers_that_are_drawn_to_evaluate_are_kept(bench: Bench, name: str) -> None:
    """The first to each of the first prompts, at every evaluation the same prompts."""
    from transformers import AutoTokenizer

    task = bench.task(name)
    (Path(task.recipe_folder) / "own.py").write_text(COUNTED)
    evaluation = settings_of(Evaluation(eval_steps=2, samples=3))
    own: dict[str, Plain] = {"reward_functions": ["own.py:counted", "own.py:halved"], "reward_weights": [2.0, 1.0]}
    settings = {**task.settings, **({} if name.startswith("distillation") else own), "evaluation": evaluation}
    inputs = {**task.inputs, "test_datasets": (bench.tokens("prompts", "prompt", ASKED[:4]),)}
    made = run(evolve(task, settings={**settings, "max_steps": 4}, inputs=inputs))
    rows = [json.loads(line) for line in (made.task.output_folder / "samples.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 2, 2, 4, 4, 4]
    assert len({row["prompt"] for row in rows}) == 3
    assert [row["prompt"] for row in rows[:3]] == [row["prompt"] for row in rows[3:]]
    tokenizer: Any = AutoTokenizer.from_pretrained(str(bench.laboratory.model.folder))
    asked = [tokenizer.apply_chat_template(one["prompt"], tokenize=False, add_generation_prompt=True) for one in ASKED]
    assert {row["prompt"] for row in rows} <= set(asked)
    if name.startswith("distillation"):
        assert all("reward" not in row for row in rows)
    else:
        assert [row["reward"] for row in rows] == [2.5 * len(row["answer"]) for row in rows]


def test_what_trl_would_have_said_of_the_weights_of_answers_is_said(bench: Bench) -> None:
    good = sum(bool(one["label"]) for one in JUDGED)
    begin = f"warning: {good} good answers weigh {good} and {len(JUDGED) - good} bad ones "
    assert any(isinstance(one, Message) and one.text.startswith(begin) for one in bench.straight("kto full").said)


def test_dropout_is_switched_off_where_attention_holds_it_as_a_number(bench: Bench) -> None:
    """TRL switches off modules only: the first loss would not be that of a model that did not move yet."""
    import math

    folder = _fresh(bench.laboratory.folder, "dropping")
    initialise({**ARCHITECTURE, "attention_dropout": 0.5}, 2, bench.laboratory.folder / "tokenizer", TEMPLATE, folder)
    dropping, task = evolve(bench.laboratory.model, folder=str(folder)), bench.task("dpo full")
    settings = {**task.settings, "max_steps": 1}
    made = run(evolve(task, inputs={**task.inputs, "model": (dropping,)}, settings=settings))
    assert made.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert made.outcome.facts["dropout"] is False
    assert json.loads((task.output_folder / "config.json").read_text())["attention_dropout"] == 0.5


def test_a_row_is_what_the_trainer_reads(bench: Bench) -> None:
    tokens = bench.tokens(*ROWS[Dpo])
    columns = read_columns(Path(tokens.folder), TRAIN)
    assert list(columns) == ["prompt_ids", "chosen_ids", "rejected_ids"]
    from tokenizers import Tokenizer

    decode = Tokenizer.from_file(str(Path(bench.laboratory.model.folder) / "tokenizer.json")).decode
    assert [decode(columns[name][1], skip_special_tokens=False) for name in columns] == [
        "<|im_start|>user\nWhat is 0 and 1?<|im_end|>\n<|im_start|>assistant\n",
        "It is 1, so good.<|im_end|>\n",
        "No. bad<|im_end|>\n",
    ]


@pytest.mark.parametrize("name", ["full", "lora"])
def test_what_is_trained_further_is_compared_with_what_it_was_before(bench: Bench, name: str) -> None:
    """An earlier adapter belongs to the reference: the first loss is that of a model that did not move yet."""
    import math

    first = bench.straight("dpo lora")
    adapter = evolve(bench.laboratory.model, folder=str(first.task.output_folder))
    task = bench.task(f"dpo {name}")
    made = run(evolve(task, inputs={**task.inputs, "model": (bench.laboratory.model, adapter)}))
    assert made.log[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert made.log[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)


def _configurations() -> dict[str, type]:
    from trl.trainer.distillation_config import DistillationConfig
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.sft_config import SFTConfig

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.cpo import CPOConfig
    from trl.experimental.orpo import ORPOConfig

    return {
        "sft": SFTConfig,
        "dpo": DPOConfig,
        "kto": KTOConfig,
        "reward": RewardConfig,
        "distillation": DistillationConfig,
        "grpo": GRPOConfig,
        "rloo": RLOOConfig,
        "orpo": ORPOConfig,
        "cpo": CPOConfig,
        "simpo": CPOConfig,
    }


def test_the_names_of_arguments_are_those_of_the_installed_trl() -> None:
    from transformers import TrainingArguments

    assert {one.name for one in dataclasses.fields(TrainingArguments)} == COMMON
    for name, method in methods.load().items():
        known = {one.name for one in dataclasses.fields(_configurations()[name])}
        # Ours go beyond the trainer's; `cross_entropy` decides over two of its arguments.
        ours = {"method", "reward_functions", "teacher", "group_by_length", "cross_entropy"}
        decided = {"loss_type"} if name == "simpo" else set()
        assert known - decided == method.trainer_arguments, name
        assert method.own_fields - known <= ours, name


def test_values_are_of_the_types_that_the_installed_trl_declares() -> None:
    """What is left out takes texts, lists or tables."""
    kinds = {bool: SWITCHES, int: WHOLE_NUMBERS, float: NUMBERS}
    declared: dict[str, set[type]] = {}
    for name, method in methods.load().items():
        hints = typing.get_type_hints(_configurations()[name])
        for one in method.trainer_arguments - OWNED.keys() - FORBIDDEN - UNHEEDED - method.own_fields:
            several = typing.get_args(hints[one]) or (hints[one],)
            declared.setdefault(one, set()).update(set(several) - {type(None)})
    for kind, names in kinds.items():
        assert {one for one, types in declared.items() if types == {kind}} - {"seed"} <= names
        assert all(kind in declared[one] for one in names)
    assert all(str in declared[one] for one in CHOICES)


def test_every_reserved_argument_exists() -> None:
    everything = frozenset[str]().union(*(one.trainer_arguments for one in methods.load().values()))
    assert not OWNED.keys() & FORBIDDEN
    assert OWNED.keys() | FORBIDDEN <= everything
