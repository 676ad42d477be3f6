"""Token rows in groups of files: which of them an earlier artifact gives, and that nothing else comes of it."""

from __future__ import annotations

import os
import signal
from array import array
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.data.dataset_fields import Dataset
from executor.tokens import row_chunks
from executor.tokens.answer_files import AnswerRows
from executor.tokens.document_files import DocumentRows
from executor.tokens.earlier_files import EarlierFiles
from executor.tokens.row_layout import BETTER, PROMPT, WORSE
from executor.tokens.token_documents import Documents
from executor.tokens.token_files import TRAIN, VALIDATION, RowForm, TokenWriter, opened, read_columns, split_files
from executor.tokens.token_group import TokenGroup
from executor.workers.task import Outcome
from state import artifacts
from tests.executor import test_tokenizing
from tests.executor.test_tokenizing import build, cache_of, chat

folder = test_tokenizing.folder

CHATS = [chat(f"What is {number}{' more' * (number % 7)}?", "Yes" * (1 + number % 5)) for number in range(60)]
NEW = chat("New?", "No")
SMALL = {"_LEAST_ROWS": 2, "_LEAST_DOCUMENTS": 3, "_MORE_ROWS": 2, "_MOST_MORE_ROWS": 4, "_ROW_TOKENS": 64}
PAIRS = [
    {"prompt": f"What is {number}?", "chosen": " Yes" * (1 + number % 5), "rejected": " No" * (1 + number % 9)}
    for number in range(60)
]
NEW_PAIR = {"prompt": "New?", "chosen": " No", "rejected": " Yes"}
JUDGED = [
    {"prompt": 3 * str(one["prompt"]), "completion": one["chosen"], "label": at % 3 > 0} for at, one in enumerate(PAIRS)
]
PACKED = {"sample_packing": True}
OF_PAIRS = {"dataset": Dataset(source="rows.jsonl", type="preference"), "layout": "pairs"}
OF_JUDGED = {"dataset": Dataset(source="rows.jsonl", type="kto"), "layout": "judged"}
CUT = {"sequence_len": 34, "excess_length_strategy": "truncate"}
SPLIT = {"sequence_len": 60, "excess_length_strategy": "split"}
EDITS: Mapping[str, tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]] = {
    "appended, packed": (CHATS, [*CHATS, NEW], PACKED),
    "appended, cut": (CHATS, [*CHATS, NEW], {**PACKED, "sequence_len": 60, "excess_length_strategy": "truncate"}),
    "put in front, alone": (CHATS, [NEW, *CHATS], {}),
    "deleted, split": (CHATS, [*CHATS[:30], *CHATS[31:]], {**PACKED, **SPLIT}),
    "edited, some held back": (
        CHATS,
        [*CHATS[:30], NEW, *CHATS[31:]],
        {**PACKED, "val_set_size": 0.3, "split_seed": 1},
    ),
    "pairs appended": (PAIRS, [*PAIRS, NEW_PAIR], OF_PAIRS),
    "pairs deleted, cut": (PAIRS, [*PAIRS[:30], *PAIRS[31:]], {**OF_PAIRS, **CUT}),
    "verdicts appended": (JUDGED, [*JUDGED, JUDGED[0] | {"prompt": "New?"}], OF_JUDGED),
}


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few documents are enough for several files, and few rows for several chunks."""
    make_small(monkeypatch.setattr)
    monkeypatch.setattr(row_chunks, "_BLOCK_BYTES", 1500)


def make_small(change: Callable[..., None]) -> None:
    for name, value in SMALL.items():
        change(f"executor.tokens.{'token_files' if name == '_ROW_TOKENS' else 'row_groups'}.{name}", value)


def made(folder: Path, name: str, rows: list[dict[str, Any]], **changes: Any) -> Outcome:
    """Tokens of some rows, published beside others under a name."""
    outcome = build(folder, rows, **{"sequence_len": 128, **changes})
    artifacts.publish(folder / "output", {})
    (folder / "output").rename(folder / name)
    return outcome


def inodes(folder: Path) -> dict[int, str]:
    return {path.stat().st_ino: path.name for path in folder.glob("*.arrow")}


@pytest.mark.parametrize(("before", "rows", "changes"), EDITS.values(), ids=EDITS)
def test_files_that_an_edit_leaves_alone_are_taken_over_and_all_is_that_of_a_first_run(
    folder: Path, before: list[dict[str, Any]], rows: list[dict[str, Any]], changes: dict[str, Any]
) -> None:
    made(folder, "first", before, **changes)
    again = made(folder, "second", rows, **changes)
    kept = inodes(folder / "second").keys() & inodes(folder / "first").keys()
    assert len(inodes(folder / "second")) - len(kept) <= 4 < len(kept)
    cache_of(folder).unlink()
    (folder / "elsewhere").mkdir()
    for name in ("first", "second"):
        (folder / name).rename(folder / "elsewhere" / name)
    fresh = made(folder, "fresh", rows, **changes)
    assert not inodes(folder / "fresh").keys() & inodes(folder / "elsewhere" / "second").keys()
    assert fresh.output_digest == again.output_digest
    of_encoding = {"encoded_rows": 0, "encoder": ""}
    assert {**fresh.facts, **of_encoding} == {**again.facts, **of_encoding}
    of_both = [artifacts.read(one) for one in (folder / "elsewhere" / "second", folder / "fresh")]
    assert of_both[0] is not None
    assert of_both[0] == of_both[1]


def test_files_of_an_earlier_layout_are_written_anew(folder: Path) -> None:
    before = made(folder, "first", CHATS)
    for path in (folder / "first").glob("train-*.arrow"):
        path.rename(path.with_name(path.name.replace(".2.arrow", ".arrow")))
    (folder / "first" / artifacts.MANIFEST).unlink()
    artifacts.publish(folder / "first", {})
    again = made(folder, "second", CHATS)
    assert not inodes(folder / "second").keys() & inodes(folder / "first").keys()
    assert again.output_digest == before.output_digest


FORMS: Mapping[str, RowForm] = {
    "packed": DocumentRows(20),
    "alone": DocumentRows(None),
    "pairs": AnswerRows("pairs", 12),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=50),
    st.integers(0, 50),
)
def test_files_that_are_begun_before_all_is_known_are_those_that_come_of_all(
    form: RowForm, laid_out: list[tuple[int, int, int]], known: int
) -> None:
    content, starts, lengths = array("i"), array("q"), array("i")
    for at, (prompt, better, worse) in enumerate(laid_out):
        starts.append(4 * len(content))
        lengths.append(prompt + better + worse)
        content.extend([at] * lengths[-1] + [PROMPT] * prompt + [BETTER] * better + [WORSE] * worse)
    trained = array("i", [better + worse for _, better, worse in laid_out])
    distances = array("q", [4 * one for one in lengths])
    whole = Documents(memoryview(content).cast("B"), starts, distances, lengths, trained)
    first = Documents(whole.content, *(one[:known] for one in (starts, distances, lengths, trained)))
    found = []
    for begun in (None, first):
        with TemporaryDirectory() as scratch, TokenWriter(Path(scratch), EarlierFiles({})) as writer:
            if begun is not None and begun.lengths:
                writer.begin(TRAIN, begun, form)
                writer.wait()
            files = writer.rows(TRAIN, whole, range(len(lengths)), form)
            assert files == split_files(Path(scratch), TRAIN)
            found.append((writer.digest, [one.read_bytes() for one in files]))
    assert found[0] == found[1]


def flipped(path: Path) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def shortened(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size - 8)


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "another byte": flipped,
    "cut off": shortened,
    "gone": Path.unlink,
    "an edited manifest": lambda path: flipped(path.parent / artifacts.MANIFEST),
    "no manifest": lambda path: (path.parent / artifacts.MANIFEST).unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_is_not_as_it_was_is_written_anew(folder: Path, damage: Callable[[Path], None]) -> None:
    first = made(folder, "first", CHATS)
    damaged = split_files(folder / "first", TRAIN)[1]
    content = damaged.read_bytes()
    damage(damaged)
    again = made(folder, "second", CHATS)
    assert (folder / "second" / damaged.name).read_bytes() == content
    assert (folder / "second" / damaged.name).stat().st_nlink == 1
    assert again.output_digest == first.output_digest
    assert artifacts.verify(folder / "second") == ()


def test_what_was_taken_over_outlives_what_it_was_taken_from(folder: Path) -> None:
    made(folder, "first", CHATS, sample_packing=True)
    made(folder, "second", [*CHATS, NEW], sample_packing=True)
    columns = read_columns(folder / "second", TRAIN)
    artifacts.remove(folder / "first")
    assert not (folder / "first").exists()
    assert artifacts.verify(folder / "second") == ()
    assert read_columns(folder / "second", TRAIN) == columns


def killed_while_it_writes(folder: Path) -> None:
    """A process that is killed in the middle of the first file that it does not take over."""
    write = TokenGroup.write

    def killed(self: TokenGroup, path: Path, rows: Any) -> None:
        write(self, path, rows)
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    make_small(pytest.MonkeyPatch().setattr)
    TokenGroup.write = killed  # type: ignore[method-assign]
    build(folder, [*CHATS, NEW], sequence_len=128)


def test_a_killed_build_leaves_what_it_took_from_as_it_was(folder: Path) -> None:
    made(folder, "first", CHATS)
    process = get_context("spawn").Process(target=killed_while_it_writes, args=(folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert inodes(folder / "output").keys() & inodes(folder / "first").keys()
    artifacts.discard_incomplete(folder / "output")
    assert not (folder / "output").exists()
    assert artifacts.verify(folder / "first") == ()
    again = made(folder, "second", [*CHATS, NEW])
    artifacts.remove(folder / "first")
    artifacts.remove(folder / "second")
    assert made(folder, "third", [*CHATS, NEW]).output_digest == again.output_digest


def test_the_folder_is_a_data_set_as_it_is(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made(folder, "made", CHATS, sample_packing=True, val_set_size=0.3)
    assert len(split_files(folder / "made", TRAIN)) > 3
    found = datasets.load_dataset(str(folder / "made"), cache_dir=str(folder / "hub"))
    for split in (TRAIN, VALIDATION):
        rows = opened(folder / "made", split)
        assert rows[:] == found[split][:] == read_columns(folder / "made", split)
        assert rows.column_names == ["input_ids", "labels", "seq_lengths"]
        assert all(sum(row["seq_lengths"]) == len(row["input_ids"]) == len(row["labels"]) <= 128 for row in rows)
    assert opened(folder / "made", "prompts") is None
