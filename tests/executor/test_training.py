"""Trainings of a very small Llama in this process: what they learn from, and that breaks leave no trace in them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import asdict, define, evolve, field, frozen

from executor.data.dataset_fields import Dataset
from executor.evaluation import metrics_file
from executor.kinds.dataset import identity
from executor.kinds.model import Model
from executor.kinds.tokens import Tokens
from executor.kinds.tokens import build as build_tokens
from executor.kinds.train import KIND as TRAIN
from executor.merging.lora_merge import merge
from executor.methods.sft import METHOD, Sft
from executor.models.adapter_fields import Adapter
from executor.models.loading import load_tokenizer
from executor.models.model_files import initialise
from executor.tokens.token_files import VALIDATION, read_columns
from executor.training.checkpoint_fields import Checkpoints
from executor.training.collation import Collator
from executor.training.evaluation_fields import Evaluation
from executor.training.scheduler_arguments import SchedulerArguments
from executor.training.trainer_table import FORBIDDEN, OWNED
from executor.training.training import train
from executor.training.training_run import Run
from executor.workers import events
from executor.workers.task import Input, Outcome, Task
from executor.workers.worker_reports import Reporter, StopRequestedError
from planner.desired import Desired
from planner.diff import Action, change
from planner.schedule import Schedule
from planner.situation import Local, Situation
from planner.structure import settings_of
from state import artifacts
from state.canonical import Plain
from state.diagnostic import ProblemError
from state.files import digest_file
from state.record import Checkpoint, Record, Status

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

Turn = tuple[str, str]
Conversation = list[Turn]

CONVERSATIONS: list[Conversation] = [
    [("user", "What is one and one?"), ("assistant", "Two.")],
    [
        ("system", "Be brief."),
        ("user", "Hello!"),
        ("assistant", "Hello."),
        ("user", "Bye!"),
        ("assistant", "Good bye."),
    ],
    [("user", "Name a colour, please."), ("assistant", "Red, as the sky is in the evening.")],
    [("user", "And another?"), ("assistant", "Blue")],
]
MANY: list[Conversation] = [
    [("user", f"What is {one} and {two}?"), ("assistant", f"It is {one + two}, so {'good' * (one + 1)}.")]
    for one in range(4)
    for two in range(3)
]
"""Twelve: three steps of four rows make an epoch."""
SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\n' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|im_end|>' -}}{%- endif -%}{{- '\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
ARCHITECTURE: dict[str, Plain] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
BASIC = Sft(
    model="model.tiny",
    datasets=("dataset.chats",),
    learning_rate=1e-2,
    lr_scheduler="constant",
    batch_size=4,
    micro_batch_size=4,
    num_epochs=2,
    sequence_len=96,
    logging_steps=1,
    bf16=False,
    checkpoints=Checkpoints(save_steps=100, save_total_limit=10),
)
DROPPED_OUT = Adapter(r=4, lora_dropout=0.1)
BY_NAME = evolve(
    DROPPED_OUT, target_modules=("v_proj", "up_proj", "q_proj", "o_proj", "k_proj", "gate_proj", "down_proj")
)
STAGES = {
    "full": BASIC,
    "lora": evolve(BASIC, adapter=DROPPED_OUT),
    "lora in bfloat16": evolve(BASIC, adapter=DROPPED_OUT, bf16=True),
    "qlora": evolve(
        BASIC, adapter=evolve(DROPPED_OUT, type="qlora"), load_in_4bit=True, bnb_4bit_compute_dtype="float32"
    ),
}


@frozen
class Trained:
    """A training that ended: what it was given, gave back and said."""

    task: Task
    outcome: Outcome
    said: list[Any]

    @property
    def kept(self) -> tuple[Checkpoint, ...]:
        return _kept(self.said)

    @property
    def weights(self) -> bytes:
        folder = self.task.output_folder
        names = [one for one in ("model.safetensors", "adapter_model.safetensors") if (folder / one).is_file()]
        assert len(names) == 1
        return (folder / names[0]).read_bytes()

    @property
    def log(self) -> list[dict[str, Any]]:
        """What the trainer logged, as the last checkpoint has it."""
        folder = Path(self.task.tune_folder) / self.kept[-1].folder
        history: list[dict[str, Any]] = json.loads((folder / "trainer_state.json").read_bytes())["log_history"]
        return history


@define
class StopAfter(Reporter):
    """Asks its own process to stop once a step is done, as `tune apply` would; the step after it is the last."""

    step: int = field(default=0, kw_only=True)

    def progress(
        self,
        done: int,
        total: int,
        unit: str,
        values: Mapping[str, float] | None = None,
        seconds_left: float | None = None,
    ) -> None:
        if done == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
        super().progress(done, total, unit, values, seconds_left)


@define
class Laboratory:
    """A folder with a model, in which token rows are made and stages trained; each stage has a `.tune/` of its own."""

    folder: Path
    model: Input
    straight_runs: dict[str, Trained] = field(factory=dict)

    def tokens(self, conversations: Sequence[Conversation], stage: Sft) -> Input:
        """Token rows as the product makes them."""
        folder = _fresh(self.folder, "tokens")
        rows = [{"messages": [{"role": role, "content": text} for role, text in one]} for one in conversations]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        dataset = settings_of(Dataset(source=str(folder / "rows.jsonl"), type="chat_template"))
        digest = identity(dataset, [digest_file(folder / "rows.jsonl")])
        settings = settings_of(_tokens(stage))
        inputs = {
            "datasets": (Input("dataset.chats", digest, str(folder), dataset, {"rows": len(rows)}),),
            "tokenizer": (self.model,),
            "chat_template": (self.model,),
        }
        task = _task(folder, "tokens.chats", settings, inputs)
        made = build_tokens(task, Reporter(task.address, lambda _: None))
        return Input("tokens.chats", made.output_digest, str(task.output_folder), settings, made.facts)

    def task(self, stage: Sft, tokens: Input | None = None) -> Task:
        """A task in a folder of its own."""
        inputs = {"model": (self.model,), "tokens": (tokens or self.tokens(MANY, stage),)}
        return _task(_fresh(self.folder, "stage"), "train.it", settings_of(stage), inputs)

    def straight(self, name: str) -> Trained:
        """One of `STAGES` trained without a break, once for all tests."""
        if name not in self.straight_runs:
            self.straight_runs[name] = run(self.task(STAGES[name]))
        return self.straight_runs[name]


def metrics(made: Trained) -> list[dict[str, Any]]:
    """The rows of the metrics beside the model, without what another machine or moment would have otherwise."""
    rows = metrics_file.read(made.task.output_folder / metrics_file.NAME)
    return [{name: value for name, value in row.items() if name not in metrics_file.VOLATILE} for row in rows]


def run(task: Task) -> Trained:
    said: list[Any] = []
    return Trained(task, train(METHOD, task, Reporter(task.address, said.append)), said)


def stopped(task: Task, after: int) -> tuple[Checkpoint, ...]:
    """Train until SIGTERM stops it after the step that follows the given one; the checkpoints that are left."""
    said: list[Any] = []
    with pytest.raises(StopRequestedError) as stop:
        train(METHOD, task, StopAfter(task.address, said.append, step=after))
    assert stop.value.step == after + 1
    return _kept(said)


def resumed(task: Task, checkpoints: tuple[Checkpoint, ...], stage: Sft | None = None) -> Task:
    """The task that goes on from the last of the checkpoints, perhaps with other settings."""
    settings = task.settings if stage is None else settings_of(stage)
    shutil.rmtree(task.output)
    Path(task.output).mkdir()
    return evolve(task, settings=settings, resume_from=checkpoints[-1], earlier=checkpoints)


def _kept(said: Sequence[Any]) -> tuple[Checkpoint, ...]:
    *_, last = (one for one in said if isinstance(one, events.CheckpointWritten))
    return tuple(last.kept)


def _tokens(stage: Sft) -> Tokens:
    return Tokens(
        datasets=stage.datasets,
        model=stage.model,
        sequence_len=stage.sequence_len,
        excess_length_strategy="error",
        roles_to_train=stage.roles_to_train,
        sample_packing=stage.sample_packing,
        val_set_size=stage.val_set_size,
        split_seed=stage.seed,
    )


def _task(folder: Path, address: str, settings: Mapping[str, Any], inputs: Mapping[str, tuple[Input, ...]]) -> Task:
    output = folder / ".tune" / "made"
    output.mkdir(parents=True)
    return Task(
        address=address,
        kind=address.partition(".")[0],
        settings=settings,
        content={},
        inputs=inputs,
        recipe_folder=str(folder),
        output=str(output),
        checkpoints=str(folder / ".tune" / "checkpoints"),
        tune_folder=str(folder / ".tune"),
    )


def _fresh(folder: Path, name: str) -> Path:
    made = folder / f"{name}{len(list(folder.glob(f'{name}*')))}"
    made.mkdir()
    return made


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(r" ?\p{L}+|\d|[^\d\p{L}]"), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator([text + role for one in [*CONVERSATIONS, *MANY] for role, text in one], trainer)
    folder.mkdir()
    tokenizer.add_tokens(["\n"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("laboratory")
    _write_tokenizer(folder / "tokenizer")
    (folder / "model").mkdir()
    made = initialise(ARCHITECTURE, 1, folder / "tokenizer", TEMPLATE, folder / "model")
    settings = settings_of(Model(source=str(folder / "model")))
    return Laboratory(folder, Input("model.tiny", made.output_digest, str(folder / "model"), settings, made.facts))


@pytest.fixture(autouse=True)
def _keep_handler() -> Iterator[None]:
    """A training leaves its own handler of SIGTERM behind: in the product its process ends right after it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _load(folder: str | Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)


def _by_hand(tokenizer: Path, conversation: Conversation) -> tuple[list[int], list[bool]]:
    """Ids of a conversation, written out piece by piece, and whether each is learned: answers with their ends."""
    from tokenizers import Tokenizer

    encode = Tokenizer.from_file(str(tokenizer / "tokenizer.json")).encode
    pieces = []
    for role, text in conversation:
        pieces += [(f"<|im_start|>{role}\n", False), (f"{text}<|im_end|>", role == "assistant"), ("\n", False)]
    ids = [(one, learned) for piece, learned in pieces for one in encode(piece, add_special_tokens=False).ids]
    whole = encode("".join(piece for piece, _ in pieces), add_special_tokens=False).ids
    assert whole == [one for one, _ in ids]
    return whole, [learned for _, learned in ids]


def _expected_loss(model: Any, tokenizer: Path, conversations: Sequence[Conversation]) -> float:
    """The mean negative log-likelihood of everything that is learned, one conversation at a time."""
    import torch

    losses: list[Tensor] = []
    for conversation in conversations:
        ids, learned = _by_hand(tokenizer, conversation)
        with torch.no_grad():
            likelihoods = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-likelihoods[at - 1, ids[at]] for at in range(1, len(ids)) if learned[at]]
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("micro", [4, 2, 1])
@pytest.mark.parametrize("rows", ["apart", "packed"])
def test_the_loss_is_that_of_the_answers_alone(laboratory: Laboratory, rows: str, micro: int) -> None:
    packing = rows == "packed"
    stage = evolve(BASIC, max_steps=1, sample_packing=packing, micro_batch_size=micro)
    tokens = laboratory.tokens(CONVERSATIONS, stage)
    assert tokens.facts["documents"] == 4
    assert (tokens.facts["rows"] == 4) is not packing
    made = run(laboratory.task(stage, tokens))
    expected = _expected_loss(_load(laboratory.model.folder), laboratory.folder / "tokenizer", CONVERSATIONS)
    assert made.log[0]["loss"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_documents_do_not_see_each_other(laboratory: Laboratory, attention: str) -> None:
    import torch

    model = _load(laboratory.model.folder).train()
    model.set_attn_implementation(attention)
    first, second = [10, 11, 12, 13, 14], [20, 21, 22, 23]
    short = {"input_ids": first[:3], "labels": first[:3], "seq_lengths": [3]}
    row = {"input_ids": first + second, "labels": [-100] * 5 + second, "seq_lengths": [5, 4]}
    batch = Collator(0, packed=True)([short, row])
    seen = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    logits = model(inputs_embeds=seen, position_ids=batch["position_ids"], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[1, :-1], batch["labels"][1, 1:])
    (gradient,) = torch.autograd.grad(loss, seen)
    assert torch.count_nonzero(gradient[1, :5]) == 0
    assert torch.count_nonzero(gradient[0]) == 0
    assert torch.count_nonzero(gradient[1, 5:8]) > 0


def test_packing_changes_no_loss(laboratory: Laboratory) -> None:
    import torch

    model = _load(laboratory.model.folder)
    documents = [list(range(3, 3 + length)) for length in (9, 2, 6, 4)]
    apart = [{"input_ids": one, "labels": one, "seq_lengths": [len(one)]} for one in documents]
    joined = [
        {"input_ids": one + two, "labels": one + two, "seq_lengths": [len(one), len(two)]}
        for one, two in (documents[:2], documents[2:])
    ]
    losses = []
    for rows, packed in ((apart, False), (joined, True)):
        batch = Collator(0, packed=packed)(rows)
        labels = batch.pop("labels")[:, 1:]
        logits = model(**batch, use_cache=False).logits[:, :-1].transpose(1, 2)
        losses.append(float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)))
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("name", STAGES)
def test_interrupted_and_resumed_is_bitwise_straight(laboratory: Laboratory, name: str, after: int) -> None:
    task = laboratory.task(STAGES[name])
    checkpoints = stopped(task, after)
    assert [one.step for one in checkpoints] == [after + 1]
    made = run(resumed(task, checkpoints))
    assert made.weights == laboratory.straight(name).weights
    assert made.outcome.output_digest == laboratory.straight(name).outcome.output_digest
    assert made.outcome.facts["resumed_from"] == after + 1
    assert made.outcome.facts["steps"] == made.outcome.metrics["steps"] == 6
    assert made.outcome.metrics == laboratory.straight(name).outcome.metrics
    assert metrics(made) == metrics(laboratory.straight(name))
    assert [row["step"] for row in metrics(made)] == [1, 2, 3, 4, 5, 6]
    assert made.outcome.metrics["train_loss"] == pytest.approx(sum(row["loss"] for row in metrics(made)) / 6, abs=1e-6)


IN_EIGHT_BITS = {
    "weights": evolve(BASIC, adapter=DROPPED_OUT, load_in_8bit=True, bf16=True, max_steps=3),
    # Small matrices keep their states in 32 bits: with this rank they are large enough.
    "optimizer": evolve(
        BASIC,
        adapter=Adapter(r=128, lora_dropout=0.1),
        optimizer="paged_adamw_8bit",
        sample_packing=True,
        micro_batch_size=2,
        max_steps=3,
    ),
}


@pytest.mark.parametrize("what", IN_EIGHT_BITS)
def test_eight_bits_are_resumed_bitwise_too(laboratory: Laboratory, what: str) -> None:
    import torch

    task = laboratory.task(IN_EIGHT_BITS[what])
    kept = stopped(task, 1)
    made = run(resumed(task, kept))
    assert made.weights == run(laboratory.task(IN_EIGHT_BITS[what])).weights
    if what == "optimizer":
        written = torch.load(Path(task.tune_folder) / kept[-1].folder / "optimizer.pt")["state"].values()
        states = [one["__bnb_optimizer_quant_state__"] for one in written]
        assert all(one["state1"].dtype is torch.uint8 for one in states if one["state1"].numel() >= 4096)
        assert any(one["state1"].numel() >= 4096 for one in states)


@pytest.mark.parametrize("details", [{}, {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False}])
def test_the_base_of_a_qlora_is_held_as_the_recipe_says(laboratory: Laboratory, details: dict[str, Any]) -> None:
    task = laboratory.task(evolve(STAGES["qlora"], bf16=True, bnb_4bit_compute_dtype="bfloat16", **details))
    state = Run(task, Reporter(task.address, lambda _: None)).model().model.layers[1].mlp.up_proj.weight.quant_state
    assert state.quant_type == details.get("bnb_4bit_quant_type", "nf4")
    assert state.nested is details.get("bnb_4bit_use_double_quant", True)
    assert str(state.dtype) == "torch.bfloat16"


def test_a_qlora_on_an_adapter_starts_from_the_two_folded_together(laboratory: Laboratory) -> None:
    first = laboratory.straight("lora")
    merged = laboratory.folder / "merged for qlora"
    merge(Path(laboratory.model.folder), first.task.output_folder, merged, None)
    whole = evolve(laboratory.model, folder=str(merged))
    adapter = evolve(laboratory.model, folder=str(first.task.output_folder))
    task = laboratory.task(evolve(STAGES["qlora"], max_steps=2))
    made = [run(evolve(task, inputs={**task.inputs, "model": one})) for one in ((whole,), (laboratory.model, adapter))]
    assert made[0].weights == made[1].weights


def test_a_run_that_is_asked_to_stop_in_its_last_step_ends_as_if_nobody_had_asked(laboratory: Laboratory) -> None:
    task = laboratory.task(BASIC)
    outcome = train(METHOD, task, StopAfter(task.address, lambda _: None, step=5))
    assert outcome.output_digest == laboratory.straight("full").outcome.output_digest


@pytest.mark.parametrize("at", [2, 6])
def test_an_evaluation_is_given_up_for_a_checkpoint_and_made_up_for(laboratory: Laboratory, at: int) -> None:
    stage = evolve(STAGES["lora"], num_epochs=3, max_steps=6, val_set_size=0.25, evaluation=Evaluation(eval_steps=2))
    task = laboratory.task(stage)
    straight, said = run(laboratory.task(stage, task.one("tokens"))), list[Any]()
    with pytest.raises(StopRequestedError) as stop:
        train(METHOD, task, StopAfter(task.address, said.append, step=at))
    assert stop.value.step == at
    assert [one.step for one in _kept(said)] == [at]
    assert [entry["step"] for entry in Trained(task, straight.outcome, said).log if "eval_loss" in entry] == (
        [] if at == 2 else [2, 4]
    )
    made = run(resumed(task, _kept(said)))
    assert made.weights == straight.weights
    assert made.outcome.metrics["eval_loss"] == straight.outcome.metrics["eval_loss"]
    if at == 2:
        assert metrics(made) == metrics(straight)
        assert _evaluations(made) == _evaluations(straight)


def test_an_evaluation_that_is_made_up_for_can_end_the_run(laboratory: Laboratory) -> None:
    measuring = Evaluation(eval_steps=1, early_stopping_patience=1, early_stopping_threshold=100.0)
    stage = evolve(BASIC, val_set_size=0.25, evaluation=measuring)
    task = laboratory.task(stage)
    straight, said = run(laboratory.task(stage, task.one("tokens"))), list[Any]()
    with pytest.raises(StopRequestedError):
        train(METHOD, task, StopAfter(task.address, said.append, step=2))
    made = run(resumed(task, _kept(said)))
    assert straight.outcome.facts["stopped_early_at"] == 2
    assert made.outcome.facts["stopped_early_at"] == 2
    assert made.weights == straight.weights


def _evaluations(made: Trained) -> list[tuple[int, float]]:
    return [(entry["step"], entry["eval_loss"]) for entry in made.log if "eval_loss" in entry]


@pytest.mark.parametrize("name", ["full", "lora"])
def test_an_adapter_is_trained_further_as_the_model_that_it_makes(laboratory: Laboratory, name: str) -> None:
    import torch

    first = laboratory.straight("lora")
    merged = laboratory.folder / f"merged for {name}"
    merge(Path(laboratory.model.folder), first.task.output_folder, merged, None)
    whole = evolve(laboratory.model, folder=str(merged))
    adapter = evolve(laboratory.model, folder=str(first.task.output_folder))
    tasks = [laboratory.task(STAGES[name]) for _ in range(2)]
    foundations = [(whole,), (laboratory.model, adapter)]
    made = [
        run(evolve(task, inputs={**task.inputs, "model": one})) for task, one in zip(tasks, foundations, strict=True)
    ]
    assert made[0].weights == made[1].weights
    assert made[0].outcome.facts == made[1].outcome.facts
    assert {path.name for path in made[0].task.output_folder.iterdir()} == {
        path.name for path in made[1].task.output_folder.iterdir()
    }
    if name == "full":
        assert torch.equal(*(_load(one.task.output_folder)(torch.tensor([[3, 4, 5]])).logits for one in made))


@pytest.mark.parametrize("steps", [3, 4])
@pytest.mark.parametrize("name", STAGES)
def test_a_longer_run_is_bitwise_a_straight_one(laboratory: Laboratory, name: str, steps: int) -> None:
    short = run(laboratory.task(evolve(STAGES[name], max_steps=steps)))
    longer = run(resumed(short.task, short.kept, STAGES[name]))
    assert longer.weights == laboratory.straight(name).weights
    assert [one.step for one in longer.kept] == [steps, 6]
    assert [entry["step"] for entry in longer.log if "loss" in entry] == [1, 2, 3, 4, 5, 6]
    assert metrics(longer) == metrics(laboratory.straight(name))


SO_FAR_ALIKE = {
    "constant_with_warmup": (SchedulerArguments(), 4),
    "inverse_sqrt": (SchedulerArguments(), 4),
    # Of four steps, the last two decay, and the first of them has the full rate.
    "warmup_stable_decay": (SchedulerArguments(num_decay_steps=2), 2),
}


@pytest.mark.parametrize("scheduler", SO_FAR_ALIKE)
def test_learning_rates_that_are_alike_so_far_are_gone_on_with_bitwise(laboratory: Laboratory, scheduler: Any) -> None:
    arguments, step = SO_FAR_ALIKE[scheduler]
    stage = evolve(STAGES["lora"], lr_scheduler=scheduler, lr_scheduler_kwargs=arguments, warmup_steps=1, max_steps=6)
    checkpoints = Checkpoints(save_steps=2, save_total_limit=10)
    short = run(laboratory.task(evolve(stage, max_steps=4, checkpoints=checkpoints)))
    kept = tuple(one for one in short.kept if one.step <= step)
    assert kept[-1].step == step
    longer, straight = run(resumed(short.task, kept, stage)), run(laboratory.task(stage))
    assert longer.weights == straight.weights
    assert metrics(longer) == metrics(straight)


@pytest.mark.parametrize("name", STAGES)
def test_a_shorter_run_takes_a_checkpoint_without_training(laboratory: Laboratory, name: str) -> None:
    stage = evolve(STAGES[name], checkpoints=Checkpoints(save_steps=2, save_total_limit=10))
    long = run(laboratory.task(stage))
    assert [one.step for one in long.kept] == [2, 4, 6]
    taken = run(resumed(long.task, long.kept[:2], evolve(stage, max_steps=4)))
    fresh = run(laboratory.task(evolve(stage, max_steps=4)))
    assert taken.said == []
    assert taken.weights == fresh.weights
    assert taken.outcome.output_digest == fresh.outcome.output_digest
    assert taken.outcome.metrics["loss"] == fresh.outcome.metrics["loss"]
    names = {path.name for path in fresh.task.output_folder.iterdir()}
    assert {path.name for path in taken.task.output_folder.iterdir()} == names


def test_the_recipe_wins_over_what_a_checkpoint_remembers(laboratory: Laboratory) -> None:
    stage = evolve(BASIC, lr_scheduler="linear", max_steps=3)
    short = run(laboratory.task(stage))
    checkpoints = Checkpoints(save_steps=1, save_total_limit=10)
    wanted = evolve(stage, max_steps=6, learning_rate=3e-3, checkpoints=checkpoints)
    longer = run(resumed(short.task, short.kept, wanted))
    assert [one.step for one in longer.kept] == [3, 4, 5, 6]
    rates = [entry["learning_rate"] for entry in longer.log if entry["step"] > 3]
    schedule = Schedule("linear", 3e-3, 0, 6)
    assert rates == [schedule.at(step) for step in (3, 4, 5)]
    # The rate that the checkpoint remembers is 0, with which the first step would change nothing.
    written = [Path(longer.task.tune_folder) / one.folder / "model.safetensors" for one in longer.kept[:2]]
    assert written[0].read_bytes() != written[1].read_bytes()


def test_the_trainer_uses_the_planned_learning_rates(laboratory: Laboratory) -> None:
    arguments = SchedulerArguments(num_decay_steps=3, min_lr_ratio=0.1, decay_type="1-sqrt")
    stage = evolve(BASIC, lr_scheduler="warmup_stable_decay", lr_scheduler_kwargs=arguments, warmup_steps=2)
    found = run(laboratory.task(evolve(stage, checkpoints=Checkpoints(save_steps=6))))
    given = {name: value for name, value in asdict(arguments).items() if value is not None}
    schedule = Schedule("warmup_stable_decay", 1e-2, 2, 6, given)
    assert [entry["learning_rate"] for entry in found.log if "loss" in entry] == [schedule.at(one) for one in range(6)]


def test_the_recipe_decides_how_often_is_logged_and_evaluated_after_a_resume(laboratory: Laboratory) -> None:
    stage = evolve(BASIC, val_set_size=0.25, max_steps=2, evaluation=Evaluation(eval_steps=1))
    short = run(laboratory.task(stage))
    rarely = evolve(stage, max_steps=6, logging_steps=3, evaluation=Evaluation(eval_steps=3))
    longer = run(resumed(short.task, short.kept, rarely))
    assert [entry["step"] for entry in longer.log if "loss" in entry] == [1, 2, 3, 6]
    assert [entry["step"] for entry in longer.log if "eval_loss" in entry] == [1, 2, 3, 6]


def test_a_run_goes_on_in_other_micro_batches_where_it_was(laboratory: Laboratory) -> None:
    """What is skipped are rows, not micro-batches: no row is seen twice, and none is left out."""
    task = laboratory.task(BASIC)
    made = run(resumed(task, stopped(task, 1), evolve(BASIC, micro_batch_size=1)))
    expected = [row["loss"] for row in metrics(laboratory.straight("full"))]
    assert [row["loss"] for row in metrics(made)] == pytest.approx(expected, abs=1e-5)


def test_all_that_training_changes_of_a_model_is_its_weights(laboratory: Laboratory) -> None:
    before = json.loads((Path(laboratory.model.folder) / "config.json").read_bytes())
    after = json.loads((laboratory.straight("full").task.output_folder / "config.json").read_bytes())
    assert after == before
    names = {path.name for path in Path(laboratory.model.folder).iterdir()} | {"metrics.jsonl"}
    assert {path.name for path in laboratory.straight("full").task.output_folder.iterdir()} == names


def test_the_newest_checkpoints_are_kept_and_only_complete_ones_are_told(laboratory: Laboratory) -> None:
    task = laboratory.task(evolve(BASIC, checkpoints=Checkpoints(save_steps=1, save_total_limit=2)))
    told = []

    def send(event: events.WorkerEvent) -> None:
        if isinstance(event, events.CheckpointWritten):
            told.append([one.step for one in event.kept])
            for one in event.kept:
                manifest = artifacts.read(Path(task.tune_folder) / one.folder)
                assert manifest is not None
                assert manifest.digest == one.digest
                assert artifacts.verify(Path(task.tune_folder) / one.folder) == ()

    train(METHOD, task, Reporter(task.address, send))
    assert told == [[1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]
    assert sorted(path.name for path in Path(task.checkpoints).glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-6"]


def test_what_an_earlier_attempt_left_behind_is_removed(laboratory: Laboratory) -> None:
    stage = evolve(BASIC, checkpoints=Checkpoints(save_steps=2, save_total_limit=10))
    task = laboratory.task(stage)
    checkpoints = stopped(task, 2)
    assert [one.step for one in checkpoints] == [2, 3]
    (Path(task.checkpoints) / "checkpoint-5").mkdir()
    made = run(resumed(task, checkpoints[:1]))
    assert [one.step for one in made.kept] == [2, 4, 6]
    assert len(list(Path(task.checkpoints).glob("checkpoint-*"))) == 3
    assert made.weights == laboratory.straight("full").weights


def test_a_damaged_checkpoint_is_refused_and_set_aside(laboratory: Laboratory) -> None:
    short = run(laboratory.task(evolve(BASIC, max_steps=2)))
    folder = Path(short.task.tune_folder) / short.kept[-1].folder
    content = bytearray((folder / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "optimizer.pt").write_bytes(content)
    with pytest.raises(ProblemError) as error:
        run(resumed(short.task, short.kept, BASIC))
    assert error.value.diagnostics[0].summary == "Damaged checkpoint"
    assert artifacts.read(folder) is None
    assert not (folder / artifacts.MANIFEST).exists()


@pytest.fixture(scope="module")
def ended_in_an_epoch(laboratory: Laboratory) -> Trained:
    """A run of four steps, of which three make an epoch."""
    return run(laboratory.task(evolve(BASIC, max_steps=4)))


def test_a_run_that_ended_within_an_epoch_takes_no_step_more_when_it_is_resumed(
    laboratory: Laboratory, ended_in_an_epoch: Trained
) -> None:
    before = ended_in_an_epoch
    shutil.copytree(before.task.tune_folder, laboratory.folder / "copied")
    task = evolve(before.task, tune_folder=str(laboratory.folder / "copied"))
    task = evolve(task, output=f"{task.tune_folder}/made", checkpoints=f"{task.tune_folder}/checkpoints")
    again = run(resumed(task, before.kept))
    assert again.said == []
    assert again.weights == before.weights
    assert again.outcome.metrics["steps"] == 4


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"])
def test_a_checkpoint_that_lacks_a_file_is_refused_and_never_begun_anew_from(
    laboratory: Laboratory, ended_in_an_epoch: Trained, name: str
) -> None:
    folder = laboratory.folder / f"without {name}"
    shutil.copytree(ended_in_an_epoch.task.tune_folder, folder)
    task = evolve(ended_in_an_epoch.task, tune_folder=str(folder), output=str(folder / "made"))
    (folder / ended_in_an_epoch.kept[-1].folder / name).unlink()
    assert artifacts.read(folder / ended_in_an_epoch.kept[-1].folder) is None
    with pytest.raises(ProblemError) as error:
        run(resumed(task, ended_in_an_epoch.kept, BASIC))
    assert error.value.diagnostics[0].summary == "Damaged checkpoint"


@pytest.mark.parametrize("every", [1, 2, 100])
def test_a_loss_that_is_no_number_ends_the_run(laboratory: Laboratory, every: int) -> None:
    checkpoints = Checkpoints(save_steps=4, save_total_limit=10)
    task = laboratory.task(evolve(BASIC, learning_rate=1e30, logging_steps=every, checkpoints=checkpoints))
    with pytest.raises(ProblemError) as error:
        run(task)
    assert error.value.diagnostics[0].summary == "Loss is not a number"
    assert not list(Path(task.checkpoints).glob("checkpoint-*"))


@pytest.mark.parametrize("name", STAGES)
def test_neither_folder_nor_attempt_changes_the_result(laboratory: Laboratory, name: str) -> None:
    again = run(laboratory.task(STAGES[name]))
    other = run(laboratory.task(evolve(STAGES[name], seed=43)))
    expected = laboratory.straight(name).outcome.output_digest
    assert again.outcome.output_digest == expected
    assert other.outcome.output_digest != expected


ADAPTERS = {
    "dora": Adapter(type="dora", r=4),
    "rslora": Adapter(r=4, use_rslora=True, target_modules=("q_proj", "down_proj")),
    "modules to save": Adapter(r=4, modules_to_save=("lm_head", "embed_tokens")),
    "dora and modules to save": Adapter(type="dora", r=4, use_rslora=True, modules_to_save=("lm_head",)),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_are_trained_as_configured_and_merge_as_peft_merges(laboratory: Laboratory, name: str) -> None:
    import torch
    from peft import PeftModel

    adapter = ADAPTERS[name]
    made = run(laboratory.task(evolve(BASIC, adapter=adapter)))
    written = json.loads((made.task.output_folder / "adapter_config.json").read_bytes())
    assert (written["use_dora"], written["use_rslora"]) == (adapter.type == "dora", adapter.use_rslora)
    merged = made.task.output_folder.parent / "merged"
    merge(Path(laboratory.model.folder), made.task.output_folder, merged, None)
    question = torch.tensor([list(range(3, 60, 2))])
    with torch.no_grad():
        untrained = _load(laboratory.model.folder)(question).logits
        adapted = PeftModel.from_pretrained(_load(laboratory.model.folder), made.task.output_folder).eval()
        trained = adapted(question).logits
        expected = adapted.merge_and_unload(safe_merge=True)(question).logits
        found = _load(merged)(question).logits
    assert torch.equal(found, expected)
    assert (found - trained).abs().max() < 1e-4
    assert (found - untrained).abs().max() > 0.05


def test_the_rows_held_back_are_measured_and_measuring_changes_no_weights(laboratory: Laboratory) -> None:
    stage = evolve(BASIC, val_set_size=0.25, max_steps=5, micro_batch_size=2)
    tokens = laboratory.tokens(MANY, stage)
    assert tokens.facts["validation_rows"] == 3
    made = [
        run(laboratory.task(evolve(stage, evaluation=evaluation), tokens))
        for evaluation in (None, Evaluation(eval_steps=1), Evaluation(eval_steps=2))
    ]
    assert made[0].weights == made[1].weights == made[2].weights
    assert len({one.outcome.metrics["eval_loss"] for one in made}) == 1
    assert [entry["step"] for entry in made[1].log if "eval_loss" in entry] == [1, 2, 3, 4, 5]
    assert made[0].outcome.metrics["eval_loss"] == pytest.approx(_held_back_loss(made[0], tokens), abs=1e-5)
    for one in made:
        # All that is said at the last step is passed on: that it is done, and what is evaluated then, once.
        last = [event.values for event in one.said if isinstance(event, events.Progress) and event.done == 5]
        told = [(values.get("evaluated"), values.get("to_evaluate")) for values in last]
        assert told == [(None, None), (1, 2), (2, 2)]


def _held_back_loss(made: Trained, tokens: Input, name: str = VALIDATION) -> float:
    """The mean over all trained tokens of the rows that were held back."""
    import torch

    model, losses = _load(made.task.output_folder), list[Any]()
    rows = read_columns(Path(tokens.folder), name)
    for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
        with torch.no_grad():
            likelihoods = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-likelihoods[at - 1, label] for at, label in enumerate(labels) if label >= 0]
    return float(torch.stack(losses).mean())


def _runtime(name: str) -> Sft:
    return {
        "gradient checkpointing": evolve(STAGES["lora"], gradient_checkpointing=True),
        "a worker that loads rows": evolve(STAGES["lora"], dataloader_num_workers=1),
        "other cadences": evolve(STAGES["lora"], logging_steps=4, checkpoints=Checkpoints(save_steps=1)),
    }[name]


@pytest.mark.parametrize("name", ["gradient checkpointing", "a worker that loads rows", "other cadences"])
def test_what_is_called_runtime_changes_no_bit(laboratory: Laboratory, name: str) -> None:
    assert run(laboratory.task(_runtime(name))).weights == laboratory.straight("lora").weights


WARMED = evolve(STAGES["lora"], lr_scheduler="cosine", warmup_ratio=0.3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (WARMED, evolve(WARMED, warmup_ratio=0.0, warmup_steps=2, num_epochs=9, max_steps=6)),
        (STAGES["lora"], evolve(STAGES["lora"], lr_scheduler="constant_with_warmup", adapter=BY_NAME)),
        (STAGES["qlora"], evolve(STAGES["qlora"], adapter=evolve(BY_NAME, type="qlora"))),
    ],
)
def test_what_a_plan_calls_the_same_training_changes_no_bit(laboratory: Laboratory, before: Sft, after: Sft) -> None:
    made, again = (run(laboratory.task(one)) for one in (before, after))
    assert made.weights == again.weights
    assert made.outcome.facts["all_linear"] == again.outcome.facts["all_linear"] == sorted(BY_NAME.target_modules)
    for one, wanted in ((made, after), (again, before)):
        assert action(one, wanted) is Action.UPDATE


def action(made: Trained, wanted: Sft) -> Action:
    """What a plan would do about a finished training if its recipe became another one."""
    tokens = Record("tokens", {}, {}, {}, 1, "", Status.READY, "made", facts=made.task.one("tokens").facts)
    record = Record("train", made.task.settings, {}, {}, 1, "", Status.READY, "made", facts=made.outcome.facts)
    desired = Desired("train.it", "train", settings_of(wanted), {}, {}, 1, Sft)
    local = Local(artifact_missing=lambda _: False, usable=lambda *_: False)
    return change(Situation(TRAIN, desired, {}, {"tokens": (tokens,)}, {}, record, {}, local)).action


def test_no_recipe_can_overrule_what_tune_tells_the_trainer(laboratory: Laboratory) -> None:
    task = laboratory.task(BASIC)
    told = Run(task, Reporter(task.address, lambda _: None)).arguments()
    assert told.keys() <= OWNED.keys() | FORBIDDEN


def test_batches_are_as_wide_as_the_trainer_table_says(laboratory: Laboratory) -> None:
    made = []
    tables: tuple[dict[str, Plain], ...] = ({}, {"pad_to_multiple_of": 64})
    for wanted in tables:
        task = laboratory.task(evolve(BASIC, max_steps=2, trainer=wanted))
        collator = Run(task, Reporter(task.address, lambda _: None)).collator(load_tokenizer(task.inputs["model"]))
        assert collator.multiple == (64 if wanted else 1)
        made.append([row["loss"] for row in metrics(run(task))])
    assert made[0] == pytest.approx(made[1], abs=1e-5)


def test_tokens_that_were_seen_are_counted_beside_the_other_figures(laboratory: Laboratory) -> None:
    """With the count comes a speed, by which the rows were taken for the summary of the run, and left out."""
    counted = evolve(BASIC, max_steps=2, trainer={"include_num_input_tokens_seen": "all"})
    found = metrics(run(laboratory.task(counted)))
    plain = metrics(run(laboratory.task(evolve(counted, trainer={}))))
    assert [row.pop("num_input_tokens_seen") > 0 for row in found] == [True, True]
    assert found == plain


def test_the_loss_of_a_run_is_that_of_all_its_steps_however_seldom_they_are_logged(laboratory: Laboratory) -> None:
    losses = [
        run(laboratory.task(evolve(BASIC, max_steps=5, logging_steps=every))).outcome.metrics["train_loss"]
        for every in (1, 2, 100)
    ]
    assert losses == pytest.approx([losses[0]] * 3, abs=2e-6)


def test_a_batch_of_more_rows_than_there_are_is_told(laboratory: Laboratory) -> None:
    tokens = laboratory.tokens(CONVERSATIONS, BASIC)
    rows = tokens.facts["rows"]
    stage = evolve(BASIC, batch_size=64, micro_batch_size=64, max_steps=1)
    assert _told(run(laboratory.task(stage, tokens))) == [
        f"warning: there are only {rows} rows, and no more in an optimizer step of `batch_size` = 64"
    ]


def test_a_warm_up_that_does_not_end_is_told(laboratory: Laboratory) -> None:
    """As in a run that was cut short to try it."""
    tokens = laboratory.tokens(CONVERSATIONS, BASIC)
    stage = evolve(BASIC, lr_scheduler="linear", warmup_steps=2)
    made = [run(laboratory.task(evolve(stage, max_steps=steps), tokens)) for steps in (2, 3)]
    never = "warning: the warm-up takes 2 steps and the run 2: `learning_rate` is never reached"
    assert [_told(one) for one in made] == [[never], []]


def _told(made: Trained) -> list[str]:
    return [one.text for one in made.said if isinstance(one, events.Message)]


def test_a_training_tells_its_progress_to_the_end(laboratory: Laboratory) -> None:
    progress = [one for one in laboratory.straight("full").said if isinstance(one, events.Progress)]
    assert (progress[0].done, progress[-1].done, progress[-1].total) == (1, 6, 6)
    assert progress[-1].seconds_left == 0
    told = {"loss", "learning_rate", "grad_norm", "epoch", "tokens_per_second", "memory_gib"}
    assert told <= progress[-1].values.keys()
    assert progress[0].values["next_checkpoint"] == 6
