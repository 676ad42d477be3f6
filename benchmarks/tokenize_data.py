"""Chats, a tokenizer and lengths of documents, made up for measuring how tokens are made."""

from __future__ import annotations

import ast
import json
import math
import random
import re
import sysconfig
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

CHATS = 20_000
PACKED_DOCUMENTS = 200_000
SEQUENCE_LEN = 2048
EDITS = ("append", "delete", "edit")
"""1 % of rows appended, 1 % deleted that stand together, or one of every hundred changed."""
_VOCABULARY = 32_000
_EXPRESSION = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen cuts texts before it encodes them."""
_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}
{%- else -%}{{- message['content'] + '<|im_end|>\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""
_WITH_SYSTEM_PROMPT, _WITH_OTHER_SCRIPTS = 0.3, 0.05
_SENTENCE = range(20, 400)
"""Characters of a sentence."""
_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_FOREIGN = (" naïve café", " 日本語のテキスト", " Привет, мир!", " 🙂👩‍👩‍👧", " ½ x² ≥ 3")


def make_data(folder: Path, many: int) -> None:
    """Some chats and many, edits of either, and a tokenizer that is trained on some."""
    make_tokenizer(folder, (message["content"] for chat in islice(make_chats(), 5000) for message in chat))
    _write(folder, "chats", CHATS)
    _write(folder, "many_chats", many)


def _write(folder: Path, name: str, count: int) -> None:
    """So many chats, and what becomes of them by each edit."""
    part, middle = count // 100, count // 2
    chats = islice(make_chats(), count + 2 * part)
    lines = [json.dumps({"messages": one}, ensure_ascii=False) + "\n" for one in chats]
    changed = iter(lines[count + part :])
    edited = [next(changed) if at % 100 == 0 else line for at, line in enumerate(lines[:count])]
    made = {
        name: lines[:count],
        f"append_{name}": lines[: count + part],
        f"delete_{name}": [*lines[:middle], *lines[middle + part : count]],
        f"edit_{name}": edited,
    }
    for one, kept in made.items():
        with (folder / f"{one}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(kept)


def make_tokenizer(folder: Path, texts: Iterable[str]) -> None:
    """A byte-level BPE that is trained on some texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    cut, to_bytes = (
        pre_tokenizers.Split(Regex(_EXPRESSION), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = folder / "tokenizer"
    made.mkdir()
    tokenizer.save(str(made / "tokenizer.json"))
    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (made / "tokenizer_config.json").write_text(json.dumps(special))
    (made / "chat_template.jinja").write_text(_TEMPLATE)


def make_chats() -> Iterator[list[dict[str, str]]]:
    """Chats of one to three questions and answers, of sentences of the standard library's documentation."""
    generator, known = random.Random(1), sentences()  # noqa: S311  no secret
    while True:
        chat = []
        if generator.random() < _WITH_SYSTEM_PROMPT:
            chat.append({"role": "system", "content": " ".join(generator.choices(known, k=2))})
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            joint = generator.choice((" ", "\n", "\n\n", "\n- "))
            answer = joint.join(generator.choices(known, k=generator.randint(3, 10)))
            if generator.random() < _WITH_OTHER_SCRIPTS:
                answer += generator.choice(_FOREIGN)
            chat.append({"role": "user", "content": " ".join(generator.choices(known, k=generator.randint(1, 4)))})
            chat.append({"role": "assistant", "content": answer})
        yield chat


def sentences() -> list[str]:
    """Sentences from the docstrings of Python's standard library, and from its reference manual."""
    from pydoc_data.topics import topics

    library = Path(sysconfig.get_paths()["stdlib"])
    texts = list(topics.values())
    for path in sorted((*library.glob("*.py"), *library.glob("[a-s]*/*.py"))):
        if "site-packages" not in path.parts:
            nodes = ast.walk(ast.parse(path.read_bytes()))
            found = (ast.get_docstring(one) for one in nodes if isinstance(one, ast.FunctionDef | ast.ClassDef))
            texts += [one for one in found if one]
    cut = (" ".join(part.split()) for text in texts for part in re.split(r"(?<=[.!?])\s|\n\n", text))
    return sorted({one for one in cut if len(one) in _SENTENCE})


def lengths() -> list[int]:
    """Lengths of documents as data sets have them: log-normal, 300 tokens on average."""
    generator = random.Random(7)  # noqa: S311  no secret
    drawn = (int(generator.lognormvariate(math.log(300) - 0.5, 1)) for _ in range(PACKED_DOCUMENTS))
    return [min(SEQUENCE_LEN, max(1, one)) for one in drawn]
