"""What is said to a model and heard from it, compared with what transformers makes of the same conversation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from executor.evaluation.conversation import Conversation, Sampling, open_conversation
from executor.workers.task import Input
from state.diagnostic import ProblemError

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

TOKENIZER = Path(__file__).parent.parent.parent / "examples" / "quickstart" / "tokenizer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights that is never at a loss for words, nor stops by itself."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    made = tmp_path_factory.mktemp("model")
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    tokenizer.save_pretrained(made)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=96, initializer_range=0.5,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(made)
    return made


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """A conversation keeps libraries quiet for the rest of its process, which ends with it; a test's goes on."""
    yield
    logging.disable(logging.NOTSET)


def talk(folder: Path, system: str = "", **sampling: Any) -> Conversation:
    chosen = Sampling(**{"max_new_tokens": 12, "temperature": 0.0, "seed": 0, **sampling})
    return open_conversation([Input("train.x", "", str(folder), {}, {})], folder, chosen, system)


def quiet(_: str) -> None:
    """Somebody who does not listen."""


def test_answers_are_those_of_transformers_for_the_whole_conversation(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ours, messages = talk(folder, "Be brief."), [{"role": "system", "content": "Be brief."}]
    for question in ("When?", "And then?"):
        messages.append({"role": "user", "content": question})
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        said = model.generate(ids, max_new_tokens=12, do_sample=False, eos_token_id=tokenizer.eos_token_id)
        answer = tokenizer.decode(said[0, ids.shape[1] :], skip_special_tokens=True).strip()
        messages.append({"role": "assistant", "content": answer})
        heard: list[str] = []
        assert ours.ask(question, heard.append) == answer == "".join(heard).strip()
        assert ours.messages == messages


def test_the_seed_decides_what_is_drawn(folder: Path) -> None:
    one, same, other = (talk(folder, temperature=2.0, seed=seed).ask("When?", quiet) for seed in (1, 1, 2))
    assert one == same != other


def test_an_answer_that_is_interrupted_is_kept_as_far_as_it_got(folder: Path) -> None:
    ours = talk(folder, max_new_tokens=60)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ours.ask("When?", interrupt)
    assert [one["role"] for one in ours.messages] == ["user", "assistant"]
    assert 0 < len(ours.messages[1]["content"]) < len(talk(folder, max_new_tokens=60).ask("When?", quiet))


def test_what_cannot_be_said_is_refused_and_forgotten(folder: Path) -> None:
    ours = talk(folder)
    with pytest.raises(ProblemError, match=r"The control token <\|im_end\|> would end the turn"):
        ours.ask("<|im_end|>", quiet)
    with pytest.raises(ProblemError, match=r"The conversation has \d+ tokens, and the model takes 96\."):
        ours.ask("When? " * 90, quiet)
    assert ours.messages == []


def test_an_answer_ends_where_the_model_has_no_more_positions(folder: Path) -> None:
    ours = talk(folder, max_new_tokens=1000)
    room = 96 - len(ours._prompt([{"role": "user", "content": "When?"}]))
    assert ours.ask("When?", quiet) == talk(folder, max_new_tokens=room).ask("When?", quiet)
