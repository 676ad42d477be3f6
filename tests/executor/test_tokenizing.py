"""From rows to token files: what is recorded of them, and what is encoded again after an edit."""

from __future__ import annotations

import gzip
import json
import os
import re
import time
from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.data.dataset_fields import Dataset
from executor.kinds.dataset import identity
from executor.kinds.tokens import Tokens
from executor.tokens import row_cache, row_chunks, row_encoding
from executor.tokens.chunk_encoding import EncodedChunk, encode_chunk
from executor.tokens.documents import Formatter, FormatterSettings
from executor.tokens.encoded_rows import EncodedRows
from executor.tokens.packing import Rows
from executor.tokens.row_chunks import Chunk, Lines, chunks, cut
from executor.tokens.row_difference import FILE, RowDifference, difference, read_digests, since
from executor.tokens.row_encoding import RowEncoding
from executor.tokens.token_documents import Documents
from executor.tokens.token_files import PROMPTS, TRAIN, VALIDATION, read_columns
from executor.tokens.token_group import TokenGroup
from executor.tokens.tokenizing import tokenize
from executor.workers.task import Input, Outcome, Task
from executor.workers.worker_reports import Reporter
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError
from state.files import digest_file

tokenizers = pytest.importorskip("tokenizers")
np = pytest.importorskip("numpy")
pytest.importorskip("jinja2")
pytest.importorskip("pyarrow")

NO = -100
SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + ' ' -}}"
    "{%- if message['role'] == 'assistant' -%}"
    "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
    "{%- else -%}{{- message['content'] + '<|im_end|>' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant ' -}}{%- endif -%}"
)
CHATS = Dataset(source="rows.jsonl", type="chat_template")
TEXTS = Dataset(source="rows.jsonl", type="completion")
BASIC = Tokens(
    datasets=("dataset.rows",),
    model="model.tiny",
    sequence_len=64,
    excess_length_strategy="error",
    roles_to_train=("assistant",),
)


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


QUESTIONS = [chat(f"What is {number} plus one?", f"It is {number + 1}, été 🙂.") for number in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe's folder with a byte-level tokenizer without merges: a token a byte."""
    bytes_only = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    made = tokenizers.Tokenizer(tokenizers.models.BPE({one: at for at, one in enumerate(sorted(bytes_only))}, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(list(SPECIAL))
    (tmp_path / "tokenizer").mkdir()
    made.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    special = {"eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(special))
    (tmp_path / "tokenizer" / "chat_template.jinja").write_text(TEMPLATE)
    return tmp_path


def build(
    folder: Path, rows: Sequence[Mapping[str, Any] | str], *, dataset: Dataset = CHATS, **changes: Any
) -> Outcome:
    """Write the rows, and tokenize them into `folder/output`."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    known = identity(settings_of(dataset), [digest_file(folder / "rows.jsonl")])
    given = Input("dataset.rows", known, str(folder), settings_of(dataset), {"rows": len(rows)})
    settings: dict[str, Plain] = {"tokenizer": "tokenizer", "chat_template": "tokenizer", "config": {}}
    model = Input("model.tiny", "", str(folder), settings, {})
    output = folder / "output"
    output.mkdir(exist_ok=True)
    for file in output.iterdir():
        file.unlink()
    task = Task(
        address="tokens.sft",
        kind="tokens",
        settings=settings_of(evolve(BASIC, **changes)),
        content={},
        inputs={"datasets": (given,), "tokenizer": (model,), "chat_template": (model,)},
        recipe_folder=str(folder),
        output=str(output),
        checkpoints="",
        tune_folder=str(folder / ".tune"),
    )
    return tokenize(task, Reporter("tokens.sft", lambda _: None))


def text_of(ids: Sequence[int], folder: Path) -> str:
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    decoded: str = tokenizer.decode(ids, skip_special_tokens=False)
    return decoded


def cache_of(folder: Path) -> Path:
    (file,) = (one for one in (folder / ".tune" / "cache" / "rows").iterdir() if not one.suffix)
    return file


def test_what_is_written_and_recorded(folder: Path) -> None:
    outcome = build(folder, [chat("Hi?", "Hello"), chat("Bye?", "Bye")])
    columns = read_columns(folder / "output", TRAIN)
    assert [text_of(ids, folder) for ids in columns["input_ids"]] == [
        "<|im_start|>user Hi?<|im_end|><|im_start|>assistant Hello<|im_end|>",
        "<|im_start|>user Bye?<|im_end|><|im_start|>assistant Bye<|im_end|>",
    ]
    trained = [[label for label in labels if label != NO] for labels in columns["labels"]]
    assert [text_of(labels, folder) for labels in trained] == ["Hello<|im_end|>", "Bye<|im_end|>"]
    assert columns["seq_lengths"] == [[27], [26]]
    facts = dict(outcome.facts)
    assert len(str(facts.pop("row_set"))) == len(str(facts.pop("row_order"))) == 32
    assert facts == {
        "rows": 2,
        "documents": 2,
        "tokens": 53,
        "trained_tokens": 10,
        "longest": 27,
        "truncated": 0,
        "dropped": 0,
        "untrained": 0,
        "lengths": {"32": 2},
        "encoded_rows": 2,
        "encoder": "pre-token cache",
        "skipped": 0,
        "validation_rows": 0,
    }
    assert outcome.output_digest == "1152fd837e17d9850be128b9fa36edc6"  # whatever the file format or the way there


EDITS: Mapping[str, tuple[list[dict[str, Any]], int]] = {
    "appended": ([*QUESTIONS, chat("New?", "Yes")], 1),
    "deleted": (QUESTIONS[:4] + QUESTIONS[6:], 0),
    "edited": ([*QUESTIONS[:3], chat("New?", "Yes"), *QUESTIONS[4:]], 1),
    "reordered": (QUESTIONS[::-1], 0),
    "the same": (QUESTIONS, 0),
    "twice": (QUESTIONS * 2, 0),
}


@pytest.mark.parametrize(("rows", "new"), EDITS.values(), ids=EDITS)
def test_only_new_rows_are_encoded_and_the_result_is_that_of_a_first_run(
    folder: Path, rows: list[dict[str, Any]], new: int
) -> None:
    build(folder, QUESTIONS)
    again = build(folder, rows)
    assert again.facts["encoded_rows"] == new
    cache_of(folder).unlink()
    assert build(folder, rows).output_digest == again.output_digest


def test_another_order_of_the_same_rows_is_told_from_other_rows(folder: Path) -> None:
    first, reordered, other = (build(folder, rows).facts for rows in (QUESTIONS, QUESTIONS[::-1], QUESTIONS[1:]))
    assert first["row_set"] == reordered["row_set"] != other["row_set"]
    assert first["row_order"] != reordered["row_order"]


def test_what_changed_in_the_rows_since_tokens_were_made_is_told_by_digests_alone(folder: Path) -> None:
    tokens, sources = folder / "output", [(CHATS, folder)]
    build(folder, QUESTIONS)
    before = read_digests(tokens / FILE)
    assert since(tokens, sources) == RowDifference(added=0, removed=0, changed=0, kept=12)
    rows = [*QUESTIONS[2:], chat("New?", "Yes"), chat("New?", "No"), chat("New?", "No")]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert since(tokens, sources) == RowDifference(added=1, removed=0, changed=2, kept=10)
    build(folder, rows)
    assert difference(read_digests(tokens / FILE), before) == RowDifference(added=0, removed=1, changed=2, kept=10)
    assert since(folder / "elsewhere", sources) is None


def test_new_rows_that_will_be_skipped_are_told_of_those_that_were_added(folder: Path) -> None:
    skipping = evolve(CHATS, on_bad_row="skip")
    broken = ["{", '{"messages": 3}', '{"messages": 3}', json.dumps(chat("Good?", "Yes"))]
    build(folder, [*QUESTIONS, broken[1]], dataset=skipping)
    before = (folder / "rows.jsonl").read_text(encoding="utf-8")
    (folder / "rows.jsonl").write_text(before + "\n".join(broken), encoding="utf-8")
    found = RowDifference(added=4, removed=0, changed=0, kept=13)
    assert since(folder / "output", [(CHATS, folder)]) == found
    assert since(folder / "output", [(skipping, folder)]) == evolve(found, broken=3)


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.json"])
def test_rows_of_other_files_are_known_by_what_they_say(folder: Path, name: str) -> None:
    content = json.dumps(QUESTIONS).encode()
    lines = "".join(json.dumps(row) + "\n" for row in QUESTIONS).encode()
    (folder / name).write_bytes(gzip.compress(lines) if name.endswith(".gz") else content)
    rows, _ = encode(folder, "cache", 0, evolve(CHATS, source=name))
    again, _ = encode(folder, "cache", 0, evolve(CHATS, source=name))
    filtered, _ = encode(folder, "cache", 0, evolve(CHATS, source=name, deduplicate=True))
    assert (rows.new, again.new, filtered.new) == (12, 0, 0)
    assert rows.digests == again.digests == filtered.digests


@pytest.mark.parametrize(("lost", "new"), [(1, 0), (400, 12), (10**9, 12)], ids=["the last byte", "much", "all"])
def test_a_cache_that_a_crash_left_unfinished_is_read_up_to_there(folder: Path, lost: int, new: int) -> None:
    first = build(folder, QUESTIONS)
    file = cache_of(folder)
    os.truncate(file, max(0, file.stat().st_size - lost))
    again = build(folder, QUESTIONS)
    assert (again.output_digest, again.facts["encoded_rows"]) == (first.output_digest, new)
    assert build(folder, QUESTIONS).facts["encoded_rows"] == 0


def test_a_cache_that_was_damaged_is_not_believed(folder: Path) -> None:
    first = build(folder, QUESTIONS)
    file = cache_of(folder)
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    assert build(folder, QUESTIONS).output_digest == first.output_digest


@pytest.mark.parametrize("changes", [{"roles_to_train": ("user",)}, {"train_on_eos": "none"}], ids=["roles", "ends"])
def test_rows_that_were_encoded_otherwise_are_not_used(folder: Path, changes: dict[str, Any]) -> None:
    first = build(folder, QUESTIONS)
    other = build(folder, QUESTIONS, **changes)
    assert other.facts["encoded_rows"] == len(QUESTIONS)
    assert other.output_digest != first.output_digest


def test_rows_that_are_read_otherwise_are_not_used(folder: Path) -> None:
    rows = [{"text": "One", "other": "Two"}]
    build(folder, rows, dataset=TEXTS)
    build(folder, rows, dataset=evolve(TEXTS, field="other"))
    (ids,) = read_columns(folder / "output", TRAIN)["input_ids"]
    assert text_of(ids, folder) == "Two<|im_end|>"


def test_a_cache_that_another_process_holds_is_left_alone(folder: Path) -> None:
    first = build(folder, QUESTIONS)
    file = cache_of(folder)
    held = file.read_bytes()
    with row_cache.opened(file):
        assert build(folder, [*QUESTIONS, chat("New?", "Yes")]).facts["encoded_rows"] == len(QUESTIONS) + 1
    assert file.read_bytes() == held
    assert build(folder, QUESTIONS).output_digest == first.output_digest


def encode(folder: Path, name: str, processes: int, dataset: Dataset = CHATS) -> tuple[EncodedRows, list[bytes]]:
    """The rows of the file, in chunks by however many processes, and each as it is kept."""
    settings = FormatterSettings(folder / "tokenizer", TEMPLATE, ("assistant",), "turn", with_prompts=False)
    with row_cache.opened(folder / name) as cache, RowEncoding(settings, cache, 10**6, processes) as encoding:
        for chunk in chunks(dataset, folder):
            encoding.take(dataset, chunk)
        rows = encoding.finish()
        content = cache.content()
        kept = cache.documents(rows.numbers, content)
        edges = zip(kept.starts, kept.lengths, strict=True)
        return rows, [bytes(content[start : start + 8 * length]) for start, length in edges]


@pytest.mark.slow
def test_processes_and_chunks_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [json.dumps(row) for row in QUESTIONS]
    lines[5] = '{"messages": []}'
    (folder / "rows.jsonl").write_text("\n".join(lines))
    rows, kept = encode(folder, "alone", 0)
    assert [one.place.line for one in rows.broken.diagnostics()] == [6]
    assert [rows.place(at).line for at in range(len(rows.numbers))] == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    monkeypatch.setattr(row_encoding, "WORTH_SECONDS", 0.0)
    for block in (1, 100, 500, 1 << 19):
        monkeypatch.setattr(row_chunks, "_BLOCK_BYTES", block)
        for again in range(2):
            others, kept_by_others = encode(folder, f"with others {block}", 1)
            assert kept_by_others == kept
            assert others.broken.diagnostics() == rows.broken.diagnostics()
            assert (others.lines, others.digests) == (rows.lines, rows.digests)
            assert others.new == (0 if again else len(kept))


def test_what_a_process_left_undone_when_it_died_is_done_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in QUESTIONS))
    _, kept = encode(folder, "alone", 0)
    monkeypatch.setattr(row_encoding, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(row_chunks, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(row_encoding, "end_with_parent", partial(os._exit, 1))
    _, kept_by_others = encode(folder, "with others", 1)
    assert kept_by_others == kept


def test_rows_that_nobody_has_begun_are_encoded_here_while_another_process_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in QUESTIONS))
    _, kept = encode(folder, "alone", 0)
    encoded_here = []

    def noting(formatter: Formatter, dataset: Dataset, chunk: Chunk) -> EncodedChunk:
        encoded_here.append(chunk)
        return encode_chunk(formatter, dataset, chunk)

    monkeypatch.setattr(row_encoding, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(row_encoding, "encode_chunk", noting)
    monkeypatch.setattr(row_encoding, "end_with_parent", partial(time.sleep, 0.5))
    monkeypatch.setattr(row_chunks, "_BLOCK_BYTES", 1)
    _, kept_by_both = encode(folder, "with another", 1)
    assert kept_by_both == kept
    given_away = 2
    assert len(encoded_here) == len(QUESTIONS) - given_away


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("ab \r\t\n", max_size=9)).map("".join), st.integers(1, 20))
def test_lines_are_numbered_as_they_stand_whatever_is_read_at_once(tmp_path: Path, text: str, block: int) -> None:
    (tmp_path / "rows.jsonl").write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_chunks, "_BLOCK_BYTES", block)
        cut_apart = list(cut(chunks(CHATS, tmp_path)))
    found = [number for chunk in cut_apart for number in chunk.places()[1]]
    said = b"".join(b"".join(chunk.lines) for chunk in cut_apart if isinstance(chunk, Lines))
    stripped = [line.strip() for line in text.encode().split(b"\n")]
    assert found == [number for number, line in enumerate(stripped, start=1) if line]
    assert said == b"".join(stripped)


def test_a_line_without_end_is_no_row_and_those_behind_it_keep_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.sources.json_lines.LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(row_chunks, "_BLOCK_BYTES", 1 << 18)
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n' + b"x" * (5 << 20) + b'\n\n{"a": 2}\n' + b"y" * (2 << 20))
    rows = [row for chunk in cut(chunks(CHATS, tmp_path)) for row in chunk.rows()]
    assert [(row.place.line, getattr(row, "values", None) or getattr(row, "why", None)) for row in rows] == [
        (1, {"a": 1}),
        (2, "is longer than 1 MiB"),
        (4, {"a": 2}),
        (5, "is longer than 1 MiB"),
    ]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(0, 3)), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_rows_are_written_as_they_are_asked_for_in_any_batches(
    tmp_path: Path, laid_out: list[tuple[list[int], int]], generator: Random
) -> None:
    """Documents in any order, also several times, with gaps between them."""
    content, starts = array("i"), array("q")
    for ids, gap in laid_out:
        content.extend([7] * gap)
        starts.append(4 * len(content))
        content.extend([*ids, NO, *ids[1:]])
    lengths = array("i", [len(ids) for ids, _ in laid_out])
    documents = Documents(
        memoryview(content).cast("B"), starts, array("q", [4 * length for length in lengths]), lengths, lengths
    )
    rows = [generator.choices(range(len(laid_out)), k=generator.randint(1, 3)) for _ in range(6)]
    grouped = Rows(np.array([at for row in rows for at in row]), np.array([len(row) for row in rows]))
    for tokens in (1, 4, 1 << 19):
        group = TokenGroup(documents, np.arange(len(laid_out)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("executor.tokens.token_group._BATCH_TOKENS", tokens)
            (tmp_path / "train-0.arrow").unlink(missing_ok=True)
            group.write(tmp_path / "train-0.arrow", grouped)
        assert read_columns(tmp_path, TRAIN) == {
            "input_ids": [[one for at in row for one in laid_out[at][0]] for row in rows],
            "labels": [[one for at in row for one in (NO, *laid_out[at][0][1:])] for row in rows],
            "seq_lengths": [[len(laid_out[at][0]) for at in row] for row in rows],
        }


def test_of_a_cache_that_was_cut_anywhere_the_whole_blocks_are_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_chunks, "_BLOCK_BYTES", 5 * len(json.dumps(QUESTIONS[0], ensure_ascii=False)) + 60)
    monkeypatch.setattr(row_cache, "_PIECE_BYTES", 100)
    first = build(folder, QUESTIONS)
    whole = cache_of(folder).read_bytes()
    second, third = (match.start() for match in list(re.finditer(b"tunerow2", whole))[1:])
    lines = whole.rindex(b"tunelin3")
    cuts = ((len(whole), 0), (len(whole) - 1, 0), (lines + 10, 0), (lines, 0), (lines - 1, 2), (third + 39, 2))
    for size, new in (*cuts, (third, 2), (third - 1, 2), (second, 7), (second - 1, 7)):
        cache_of(folder).write_bytes(whole[:size])
        again = build(folder, QUESTIONS)
        assert (again.facts["encoded_rows"], again.output_digest) == (new, first.output_digest)
        assert cache_of(folder).read_bytes() == whole


LONG = [{"text": "a" * 100}, {"text": "b" * 10}]


def test_long_rows_are_an_error_unless_the_recipe_says_otherwise(folder: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        build(folder, LONG, dataset=TEXTS)
    (found,) = caught.value.diagnostics
    assert found.place.line == 1
    assert found.detail == (
        "This row has 101 tokens, more than `sequence_len` = 64; raise it, or set `excess_length_strategy` of a train"
        " table."
    )


@pytest.mark.parametrize(
    ("strategy", "texts", "facts"),
    [
        ("drop", ["b" * 10 + "<|im_end|>"], {"truncated": 0, "dropped": 1, "untrained": 0}),
        ("truncate", ["a" * 64, "b" * 10 + "<|im_end|>"], {"truncated": 1, "dropped": 0, "untrained": 0}),
        (
            "split",
            ["a" * 64, "a" * 36 + "<|im_end|>", "b" * 10 + "<|im_end|>"],
            {"truncated": 1, "dropped": 0, "untrained": 0},
        ),
    ],
)
def test_long_rows_are_dropped_cut_or_split(
    folder: Path, strategy: str, texts: list[str], facts: dict[str, int]
) -> None:
    outcome = build(folder, LONG, dataset=TEXTS, excess_length_strategy=strategy)
    columns = read_columns(folder / "output", TRAIN)
    assert [text_of(ids, folder) for ids in columns["input_ids"]] == texts
    assert columns["labels"] == columns["input_ids"]
    assert {name: outcome.facts[name] for name in facts} == facts
    assert outcome.facts["lengths"] == {"16": 1, "128": 1}


def test_a_row_whose_answer_is_cut_off_is_left_out_and_counted(folder: Path) -> None:
    rows = [chat("q" * 60, "answer"), chat("Hi?", "Hello")]
    outcome = build(folder, rows, excess_length_strategy="truncate")
    assert {name: outcome.facts[name] for name in ("rows", "truncated", "dropped", "untrained")} == {
        "rows": 1,
        "truncated": 1,
        "dropped": 1,
        "untrained": 1,
    }


def test_all_parts_of_a_row_are_held_back_or_none(folder: Path) -> None:
    rows = [{"text": letter * 100} for letter in "abcdefgh"]
    outcome = build(folder, rows, dataset=TEXTS, excess_length_strategy="split", val_set_size=0.25, split_seed=1)
    parts = {
        name: {text_of(ids, folder)[0] for ids in read_columns(folder / "output", name)["input_ids"]}
        for name in (TRAIN, VALIDATION)
    }
    assert (outcome.facts["validation_rows"], outcome.facts["rows"]) == (4, 12)
    assert not parts[TRAIN] & parts[VALIDATION]
    assert parts[TRAIN] | parts[VALIDATION] == set("abcdefgh")


@pytest.mark.parametrize("seed", range(5))
def test_a_row_that_is_seen_several_times_is_held_back_or_not(folder: Path, seed: int) -> None:
    dataset = evolve(CHATS, weight=2.5)
    outcome = build(folder, [*QUESTIONS, *QUESTIONS[:3]], dataset=dataset, val_set_size=0.25, split_seed=seed)
    training, held_back = (
        {*map(tuple, read_columns(folder / "output", one)["input_ids"])} for one in (TRAIN, VALIDATION)
    )
    assert len(training | held_back) == len(QUESTIONS)
    assert not training & held_back
    total = outcome.facts["validation_rows"] + outcome.facts["rows"]  # type: ignore[operator]  # numbers
    assert 0.25 * total <= outcome.facts["validation_rows"] < 0.25 * total + 6  # type: ignore[operator]


def test_new_rows_move_few_rows_from_one_side_to_the_other(folder: Path) -> None:
    def held_back(count: int) -> set[tuple[int, ...]]:
        build(folder, [chat(f"{at}?", "!") for at in range(count)], val_set_size=0.5, split_seed=3)
        return {*map(tuple, read_columns(folder / "output", VALIDATION)["input_ids"])}

    assert len(held_back(40) & held_back(44)) >= 16


def test_broken_rows_are_told_or_skipped_and_counted(folder: Path) -> None:
    rows: list[dict[str, Any] | str] = [*QUESTIONS[:2], "{", {"messages": [{"role": "user", "content": "Hi?"}]}]
    with pytest.raises(ProblemError) as caught:
        build(folder, rows)
    assert [one.place.line for one in caught.value.diagnostics] == [3, 4]
    outcome = build(folder, rows, dataset=evolve(CHATS, on_bad_row="skip"))
    assert (outcome.facts["rows"], outcome.facts["skipped"]) == (2, 2)


def test_questions_are_kept_for_evaluations_also_of_rows_that_are_known(folder: Path) -> None:
    build(folder, QUESTIONS[:2], prompts=True)
    build(folder, [QUESTIONS[0], QUESTIONS[0], QUESTIONS[1]], prompts=True)
    columns = read_columns(folder / "output", PROMPTS)
    assert columns["reference"] == ["It is 1, été 🙂.", "It is 1, été 🙂.", "It is 2, été 🙂."]
    assert text_of(columns["input_ids"][2], folder) == (
        "<|im_start|>user What is 1 plus one?<|im_end|><|im_start|>assistant "
    )


def test_prompt_and_completion_are_one_text_with_an_end(folder: Path) -> None:
    dataset = Dataset(source="rows.jsonl", type="input_output")
    build(folder, [{"prompt": "One and one is ", "completion": "two."}], dataset=dataset)
    columns = read_columns(folder / "output", TRAIN)
    assert text_of(columns["input_ids"][0], folder) == "One and one is two.<|im_end|>"
    assert text_of([label for label in columns["labels"][0] if label != NO], folder) == "two.<|im_end|>"


def test_tokens_that_the_vocabulary_lacks_are_told(folder: Path) -> None:
    dataset = Dataset(source="rows.jsonl", type="tokenized")
    build(folder, [{"input_ids": [1, 2, 3], "labels": [NO, 2, 3]}], dataset=dataset)
    assert read_columns(folder / "output", TRAIN)["labels"] == [[NO, 2, 3]]
    with pytest.raises(ProblemError, match="has the token id 500, and the tokenizer knows only 259"):
        build(folder, [{"input_ids": [1, 500]}], dataset=dataset)
