"""Labels stand at exactly the tokens of what is to be trained, whatever a tokenizer does with the text."""

from __future__ import annotations

import re
from array import array
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.data.chat_messages import RowError
from executor.data.examples import IGNORED
from executor.templating.chat_template import Rendered, compile_template
from executor.tokens.encoder import Encoder, encoder
from executor.tokens.encoding import Encoded, whole
from tests.executor.test_chat_template import OF_IMAGES, REFUSING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("jinja2")

Chat = list[dict[str, Any]]

SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|user|>"]
ENDS = {"bos_token": "<s>", "eos_token": "</s>"}
TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"""
WORDS = [
    "Hello there, how are you today?",
    "user assistant system\n",
    "I am fine, thank you very much. ",
    "été 🙂 日本語",
]
CHATS: list[Chat] = [
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}],
    [
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "I am fine, 🙂👩‍👩‍👧 thank you."},
        {"role": "user", "content": "\n\nété  \n"},
        {"role": "assistant", "content": "  日本語\n\n\tvery \n"},
    ],
    [
        {"role": "system", "content": "thank you"},
        {"role": "user", "content": "a" * 50},
        {"role": "assistant", "content": "e\u0301 <|im_end|> <s>"},
    ],
]


def byte_level(*, trim: bool = False) -> Tokenizer:
    """A byte-level BPE as most models have one, with few merges: most characters beyond ASCII take several tokens."""
    tokenizer: Tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.ByteLevel(trim_offsets=trim)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(WORDS * 5, trainer)
    return tokenizer


BYTES, TRIMMING = byte_level(), byte_level(trim=True)


@cache
def encoder_of(tokenizer: Tokenizer) -> Encoder:
    return encoder(lambda: whole(tokenizer))


def through_library(tokenizer: Tokenizer) -> Encoder:
    return evolve(encoder_of(tokenizer), direct=None)


def encode_conversation(tokenizer: Tokenizer, rendered: Rendered) -> Encoded:
    """As one of several, so that a mistake in telling them apart shows; and the same both ways."""
    several = [Rendered("a b", ((0, 3),)), rendered, Rendered("b🙂", ((0, 2),))]
    _, encoded, _ = encoder_of(tokenizer).conversations(several)
    _, slowly, _ = through_library(tokenizer).conversations(several)
    assert isinstance(encoded, Encoded)
    assert encoded == slowly
    return encoded


def encode_text(tokenizer: Tokenizer, text: str, end_id: int) -> Encoded:
    _, encoded = encoder_of(tokenizer).texts(["a", text], end_id)
    assert [encoded] == through_library(tokenizer).texts([text], end_id)
    return encoded


def words(*vocabulary: str, unknown: str | None = None) -> Tokenizer:
    """One token for each word between spaces."""
    numbers = {word: number for number, word in enumerate(vocabulary)}
    tokenizer: Tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(numbers, unknown) if unknown else tokenizers.models.BPE(numbers, [])
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return tokenizer


def trained_tokens(tokenizer: Tokenizer, encoded: Encoded) -> list[str | None]:
    return [tokenizer.id_to_token(label) for label in encoded.labels if label != IGNORED]


def rendered(chat: Chat) -> Rendered:
    return compile_template(TEMPLATE, {}).conversation(chat, frozenset({"assistant"}))


@pytest.mark.torch
@pytest.mark.parametrize("chat", CHATS, ids=["short", "unicode", "look-alikes"])
def test_masks_are_those_of_transformers_for_every_training_template_of_trl(chat: Chat) -> None:
    trl = pytest.importorskip("trl")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level(), **ENDS)
    left_out = set()
    for path in sorted(Path(trl.__file__).parent.glob("chat_templates/*_training.jinja")):
        # The date written out: transformers tells a template today's, we a fixed one.
        template = re.sub(r"strftime_now\((['\"].*?['\"])\)", "'2024'", path.read_text())
        try:
            ours = compile_template(template, theirs.special_tokens_map).conversation(chat, frozenset({"assistant"}))
        except RowError:
            left_out.add(path.stem)  # refused by the template, or left out of it; compared in test_chat_template
            continue
        expected = theirs.apply_chat_template(
            chat,
            chat_template=template,
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        encoded = encode_conversation(BYTES, ours)
        assert encoded.ids.tolist() == expected["input_ids"], path.stem
        assert [int(label != IGNORED) for label in encoded.labels] == expected["assistant_masks"], path.stem
    assert left_out == OF_IMAGES | (REFUSING["system"] if chat[0]["role"] == "system" else set())


def test_every_token_of_an_answer_and_no_other_is_trained() -> None:
    tokenizer = words("<|im_start|>user", "<|im_start|>assistant", "Hi", "Hello", "<|im_end|>", "?", unknown="?")
    tokenizer.add_special_tokens(["<|im_end|>"])
    encoded = encode_conversation(tokenizer, rendered([CHATS[0][0], {"role": "assistant", "content": "Hello Hi"}]))
    assert encoded.ids.tolist() == [0, 2, 4, 1, 3, 2, 4]
    assert encoded.labels.tolist() == [IGNORED, IGNORED, IGNORED, IGNORED, 3, 2, 4]


AWKWARD = ["<|im_end|>", "🙂", "👩‍👩‍👧", "e\u0301", "\u00a0", "\n\n", "  ", " a", "Hello there", "\x00", "日"]
contents = st.lists(st.sampled_from(AWKWARD) | st.text(max_size=4), max_size=5).map("".join)
roles = st.sampled_from(["system", "user", "assistant"])
chats = st.lists(st.fixed_dictionaries({"role": roles, "content": contents}), min_size=1, max_size=5)


@pytest.mark.parametrize("tokenizer", [BYTES, TRIMMING], ids=["offsets", "trimmed offsets"])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chat=chats)
def test_the_trained_tokens_spell_the_answers(tokenizer: Tokenizer, chat: Chat) -> None:
    """A turn begins behind a line break, which may share its token with line breaks that an answer begins with."""
    chat = [{**one, "content": "." + one["content"]} for one in [*chat, {"role": "assistant", "content": ""}]]
    answers = [one["content"] + "<|im_end|>" for one in chat if one["role"] == "assistant"]
    encoded = encode_conversation(tokenizer, rendered(chat))
    trained = [label for label in encoded.labels if label != IGNORED]
    assert tokenizer.decode(trained, skip_special_tokens=False) == "".join(answers)
    assert all(label in (IGNORED, token) for token, label in zip(encoded.ids, encoded.labels, strict=True))


def test_all_tokens_of_a_character_are_trained_or_none() -> None:
    text = "🙂🙂🙂"
    each = len(BYTES.encode("🙂").ids)
    assert each > 1
    encoded = encode_conversation(BYTES, Rendered(text, ((1, 2),)))
    trained = [label != IGNORED for label in encoded.labels]
    assert trained == [False] * each + [True] * each + [False] * each


def test_a_space_that_is_trimmed_to_nothing_belongs_to_its_place() -> None:
    text = "<s>a  <s>b"
    spaced = encode_conversation(TRIMMING, Rendered(text, ((3, 6),)))
    assert TRIMMING.decode([label for label in spaced.labels if label != IGNORED]) == "a  "
    bare = encode_conversation(TRIMMING, Rendered(text, ((6, 10),)))
    assert trained_tokens(TRIMMING, bare) == ["<s>", "b"]


def test_a_token_that_reaches_over_an_edge_is_trained() -> None:
    tokenizer = words("ab", "cd", "?", unknown="?")
    assert encode_conversation(tokenizer, Rendered("ab cd ab", ((1, 4),))).labels.tolist() == [0, 1, IGNORED]


def test_a_character_without_a_token_trains_neither_more_nor_less() -> None:
    """Where transformers trains the rest of the conversation, or none of it."""
    tokenizer = words("ab", "cd", "?", unknown="?")
    assert encode_conversation(tokenizer, Rendered("ab cd  ab", ((0, 3),))).labels.tolist() == [0, IGNORED, IGNORED]
    assert encode_conversation(tokenizer, Rendered("ab cd  ab", ((2, 5), (6, 9)))).labels.tolist() == [IGNORED, 1, 0]


def test_normalizers_do_not_move_labels() -> None:
    tokenizer = words("a", "b", "?", unknown="?")
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFD(), tokenizers.normalizers.StripAccents(), tokenizers.normalizers.Lowercase()]
    )
    assert encode_conversation(tokenizer, Rendered("Á B́ a", ((2, 4),))).labels.tolist() == [IGNORED, 1, IGNORED]


def test_a_range_without_any_token_is_an_error() -> None:
    tokenizer = words("ab", "?", unknown="?")
    good, bad = encoder_of(tokenizer).conversations([Rendered("ab", ((0, 2),)), Rendered("ab   ab", ((3, 5),))])
    assert good == Encoded(array("i", [0]), array("i", [0]))
    assert isinstance(bad, RowError)
    assert str(bad) == "yields no trained token: the tokenizer has no tokens for what is to be trained"


def test_what_a_tokenizer_file_says_of_cutting_and_padding_is_not_done() -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    expected = encode_conversation(BYTES, rendered(CHATS[0]))
    assert encode_conversation(tokenizer, rendered(CHATS[0])) == expected
    assert encode_text(tokenizer, "Hello there", 1) == encode_text(BYTES, "Hello there", 1)


@pytest.mark.parametrize(
    ("text", "trained"), [("ab", [0, 2, 1]), ("ab </s>", [0, 2, 1])], ids=["without an end", "with one"]
)
def test_a_plain_text_is_trained_with_a_beginning_and_one_end(text: str, trained: list[int]) -> None:
    tokenizer = words("<s>", "</s>", "ab", "a", "?", unknown="?")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    assert encode_text(tokenizer, text, 1) == Encoded(array("i", trained), array("i", trained))


def test_special_tokens_stand_around_a_text_as_the_tokenizer_puts_them() -> None:
    tokenizer = byte_level()
    around = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>"))],
    )
    tokenizer.post_processor = tokenizers.processors.Sequence([tokenizer.post_processor, around])
    texts = ["", "Hello there", "a</s>", "<s>日本"]
    assert encoder(lambda: tokenizer).direct is not None
    expected = [array("i", tokenizer.encode(text).ids) for text in texts]
    assert encoder(lambda: tokenizer).ids(texts, special=True) == expected
    assert encoder(lambda: tokenizer).texts(["a"], 1)[0].ids == array("i", tokenizer.encode("a").ids)


def test_a_conversation_gets_no_tokens_from_the_tokenizer() -> None:
    tokenizer = words("<s>", "ab", "a", "b", "b🙂", "?", unknown="?")
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    assert encode_conversation(tokenizer, Rendered("ab", ((0, 2),))).ids.tolist() == [1]
