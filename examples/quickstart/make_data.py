"""Make the data and the tokenizer of the quickstart.

The task is small but real: a language model of under a million parameters, trained from nothing,
learns to answer "Write 3 March 2021 as an ISO date." with "2021-03-03", for days that it has never
seen.

    corpus.jsonl    plain text that relates dates in words to ISO dates; the base model reads it
    chats.jsonl     questions with their answers; the adapter learns to answer from them
    heldout.jsonl   more of the same, about dates that occur in neither of the other two files

The days are drawn once and then dealt out, so no two files share one. Everything comes from one
fixed seed: running this script again writes the same bytes.
"""

import datetime as dt
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).parent
SEED = 20210303
FIRST_DAY = dt.date(2000, 1, 1)
LAST_DAY = dt.date(2029, 12, 31)
CORPUS_ROWS, CHAT_ROWS, HELDOUT_ROWS = 4800, 1600, 100

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
# The statements use the words of the questions and of a conversation, so that the base model knows
# them. They end with a full stop, the answers do not: answering is left for the adapter to learn.
STATEMENTS = (
    "{words} is {iso}.",
    "The ISO date for {words} is {iso}.",
    "Please write {words} as {iso}.",
    "In ISO format, {words} becomes {iso}.",
    "What the user calls {words}, the assistant calls {iso}.",
    "user: Give me {words}.\nassistant: {iso}.",
    "Convert {words} to an ISO date?\n{iso}.",
)
QUESTIONS = (
    "Write {words} as an ISO date.",
    "What is {words} in ISO format?",
    "Give me the ISO date for {words}.",
    "Please convert {words} to ISO.",
)

PAD, TURN_START, TURN_END = "<|pad|>", "<|im_start|>", "<|im_end|>"
VOCABULARY_LIMIT = 512
# Digits are read in pairs, so "2021" is "20" and "21"; a word keeps the space before it.
PIECES = r"\d\d?| ?\p{L}+|[^\d\p{L}]"
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '<|im_end|>' -}}
{%- endif -%}
{{- '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""

Row = dict[str, object]


def main() -> None:
    """Write the three data files and the tokenizer next to this script."""
    source = random.Random(SEED)
    counts = (CORPUS_ROWS, CHAT_ROWS, HELDOUT_ROWS)
    corpus_days, chat_days, heldout_days = deal_days(source, counts)
    statements = [statement(source, day) for day in corpus_days]
    data = HERE / "data"
    write_rows(data / "corpus.jsonl", ({"text": text} for text in statements))
    write_rows(data / "chats.jsonl", (chat(source, day) for day in chat_days))
    write_rows(data / "heldout.jsonl", (chat(source, day) for day in heldout_days))
    write_tokenizer(HERE / "tokenizer", statements)


def deal_days(source: random.Random, counts: Sequence[int]) -> Iterator[list[dt.date]]:
    """Draw distinct days of the calendar and deal them into one list for each count."""
    span = (LAST_DAY - FIRST_DAY).days + 1
    drawn = iter(source.sample(range(span), sum(counts)))
    for count in counts:
        yield [FIRST_DAY + dt.timedelta(days=next(drawn)) for _ in range(count)]


def in_words(source: random.Random, day: dt.date) -> str:
    """Write a day in words, as "3 March 2021" or "March 3, 2021"."""
    month = MONTHS[day.month - 1]
    return source.choice((f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}"))


def statement(source: random.Random, day: dt.date) -> str:
    """Return a sentence that relates a day in words to the same day as an ISO date."""
    return source.choice(STATEMENTS).format(words=in_words(source, day), iso=day.isoformat())


def chat(source: random.Random, day: dt.date) -> Row:
    """Return a conversation in which the user asks for a day as an ISO date."""
    question = source.choice(QUESTIONS).format(words=in_words(source, day))
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": day.isoformat()},
        ],
    }


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as lines of JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_tokenizer(folder: Path, texts: Iterable[str]) -> None:
    """Train the tokenizer and write it the way transformers reads it."""
    folder.mkdir(exist_ok=True)
    train_tokenizer(texts).save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN_END,
        "pad_token": PAD,
        "model_max_length": 128,
        "clean_up_tokenization_spaces": False,
    }
    settings_text = json.dumps(settings, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(settings_text, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer that knows the words of the texts and the questions."""
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(PIECES), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_LIMIT,
        special_tokens=[PAD, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    chat_words = ["user", "assistant", *QUESTIONS] * 100  # often enough to become whole tokens
    tokenizer.train_from_iterator([*texts, *chat_words], trainer)
    return tokenizer


if __name__ == "__main__":
    main()
