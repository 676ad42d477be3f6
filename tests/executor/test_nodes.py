"""Several nodes, here on one machine: the first tells the others what to run, and they stop when it does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from executor.applying.smaller_batches import build_in_memory, smaller
from executor.workers import rank_process
from executor.workers.events import Event, Message
from executor.workers.launch import Emit, InterruptedStepError, Stop
from executor.workers.nodes import ANNOUNCEMENT, Node, build_on_nodes, follow
from executor.workers.out_of_memory import OutOfMemoryError
from executor.workers.task import Input, Outcome, Task
from executor.workers.world import World, free_port
from state.diagnostic import Diagnostic, ProblemError
from state.owner import Owner, this_process
from tests.executor.test_distributed import SCRIPT, _children, wait_until_gone
from tests.executor.test_training import Laboratory, laboratory  # noqa: F401  a fixture
from tests.processes import running
from tests.tune.conftest import TUNE

OWNER = this_process("tune apply", "")
WORLD = World("ddp", 2, 2, 0, "127.0.0.1", 29517)


def _task(folder: Path) -> Task:
    return Task("train.it", "train", {}, {}, {}, "", "", "", str(folder), world=WORLD)


def _node(tune_folder: Path, *, rank: int = 1, lacking: Sequence[Diagnostic] = ()) -> Node:
    return Node(rank, tune_folder, lambda _: lacking, lambda task: smaller(task) is not None)


def _perform(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    monkeypatch.setattr(rank_process, "COMMAND", (sys.executable, str(SCRIPT), act))


def _until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(1200):
        if condition():
            return
        waiting.wait(0.05)
    message = "it never came"
    raise AssertionError(message)


@pytest.mark.processes
def test_every_rank_of_every_node_knows_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _perform(monkeypatch, "say_where")
    said: list[Event] = []
    applying: list[Owner | None] = [OWNER]
    log = tmp_path / "it.log"
    arguments = (_node(tmp_path), lambda: applying[0], said.append, Stop())
    following = threading.Thread(target=follow, args=arguments, daemon=True)
    following.start()
    logs = [log, *(tmp_path / f"it.rank{rank}.log" for rank in (1, 2, 3))]

    def wait(event: Event) -> None:
        """As ranks that cannot go on without the others would."""
        said.append(event)
        _until(lambda: len(said) == 2)

    build_on_nodes(_task(tmp_path), wait, Stop(), log, OWNER.id)
    _until(lambda: all(one.exists() and one.read_text() for one in logs))
    applying[0] = None
    following.join(timeout=60)
    assert not following.is_alive()
    assert [one.read_text() for one in logs] == [f"{rank} {rank % 2} 4 2 127.0.0.1 29517\n" for rank in range(4)]
    assert said == [
        Message("train.it", "waits at 127.0.0.1:29517 for another node: there, `tune apply --node-rank N`"),
        Message("train.it", "joins 127.0.0.1:29517 as node 1"),
    ]
    assert not (tmp_path / ANNOUNCEMENT).exists()


def test_what_a_killed_apply_left_behind_is_no_announcement(tmp_path: Path) -> None:
    (tmp_path / ANNOUNCEMENT).parent.mkdir()
    (tmp_path / ANNOUNCEMENT).write_text(json.dumps({"id": "1", "owner": "dead", "task": {}, "log": ""}))
    looks = iter([OWNER, OWNER, None])
    assert follow(_node(tmp_path), lambda: next(looks), lambda _: None, Stop())


HINT = "Install it with `pip install wandb`."
WANDB = Diagnostic("Missing library", "train.it reports to wandb, which is not installed.", HINT)
BASE = {"model": (Input("model.tiny", "", "/nowhere/tiny", {}, {}),)}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("node", "task", "folder", "told"),
    [
        (
            *(_node(Path(), rank=2), {}, ""),
            ("No such node", "train.it is trained on 2 nodes: their ranks are 0 to 1."),
        ),
        (
            *(_node(Path()), {}, "elsewhere"),
            ("Folder elsewhere", "The first node has it at `{0}`, and this one at `{0}/elsewhere`."),
        ),
        (
            *(_node(Path()), {"inputs": BASE}, ""),
            ("Folder elsewhere", "The first node has model.tiny at `/nowhere/tiny`, and this one has nothing there."),
        ),
        (_node(Path(), lacking=[WANDB]), {}, "", (WANDB.summary, WANDB.detail)),
    ],
)
def test_a_node_that_cannot_join_says_why_and_ends_the_wait_of_the_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    node: Node,
    task: dict[str, Any],
    folder: str,
    told: tuple[str, str],
) -> None:
    _perform(monkeypatch, "sleep")
    stop = Stop()
    failed: list[tuple[Diagnostic, ...]] = []

    def first() -> None:
        with pytest.raises(ProblemError) as error:
            build_on_nodes(evolve(_task(tmp_path), **task), lambda _: None, stop, tmp_path / "it.log", OWNER.id)
        failed.append(error.value.diagnostics)

    applying = threading.Thread(target=first)
    applying.start()
    try:
        _until((tmp_path / ANNOUNCEMENT).exists)
        where = tmp_path / folder
        if folder:
            where.mkdir()
            (where / "nodes").symlink_to(tmp_path / "nodes")
        with pytest.raises(ProblemError) as refused:
            follow(evolve(node, tune_folder=where), lambda: OWNER, lambda _: None, Stop())
        applying.join(timeout=60)
        assert failed == [refused.value.diagnostics]
        summary, detail = told
        detail = f"Node {node.rank} ({socket.gethostname()}): {detail.format(tmp_path)}"
        assert [(one.summary, one.detail) for one in failed[0]] == [(summary, detail)]
    finally:
        stop.expire()
        applying.join(timeout=60)


@pytest.mark.processes
def test_a_third_node_does_not_take_the_blame_for_one_that_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits at the rendezvous too, is ended, and says what the second one said."""
    _perform(monkeypatch, "sleep")
    task = evolve(_task(tmp_path), world=evolve(WORLD, nodes=3))
    joined = threading.Event()
    failed: dict[int, tuple[Diagnostic, ...]] = {}

    def first() -> None:
        with pytest.raises(ProblemError) as error:
            build_on_nodes(task, lambda _: None, Stop(), tmp_path / "it.log", OWNER.id)
        failed[0] = error.value.diagnostics

    def other(node: Node) -> None:
        with pytest.raises(ProblemError) as error:
            follow(node, lambda: OWNER, lambda _: joined.set(), Stop())
        failed[node.rank] = error.value.diagnostics

    threads = [threading.Thread(target=first, daemon=True)]
    threads += [threading.Thread(target=other, args=(_node(tmp_path, rank=2),), daemon=True)]
    for thread in threads:
        thread.start()
    assert joined.wait(60)
    other(_node(tmp_path, lacking=[WANDB]))
    for thread in threads:
        thread.join(60)
    assert failed[0] == failed[1] == failed[2]
    assert failed[1][0].detail == f"Node 1 ({socket.gethostname()}): {WANDB.detail}"


@pytest.mark.processes
@pytest.mark.parametrize("auto", [True, False])
def test_what_lacks_memory_on_another_node_is_done_in_smaller_parts_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, auto: bool
) -> None:
    _perform(monkeypatch, "one_lacks_memory")
    (tmp_path / "config.json").write_text("{}")
    inputs = {
        "model": (Input("model.tiny", "", str(tmp_path), {}, {}),),
        "tokens": (Input("tokens.it", "", str(tmp_path), {"sequence_len": 512}, {}),),
    }
    settings = {"batch_size": 16, "micro_batch_size": 4, "auto_micro_batch": auto, "gradient_checkpointing": False}
    task = evolve(_task(tmp_path), settings={**settings, "adapter": None}, inputs=inputs, output=str(tmp_path / "it"))
    applying: list[Owner | None] = [OWNER]
    said, ended = list[Event](), list[object]()

    def build(task: Task, emit: Emit, stop: Stop, log: Path) -> Outcome:
        return build_on_nodes(task, emit, stop, log, OWNER.id)

    def other() -> None:
        ended.append(_error_of(lambda: follow(_node(tmp_path), lambda: applying[0], said.append, Stop())))

    following = threading.Thread(target=other, daemon=True)
    following.start()
    means: Any = SimpleNamespace(build=build, stop=Stop())
    first = _error_of(lambda: build_in_memory(means, task, said.append, tmp_path / "it.log", tuple))
    applying[0] = None
    following.join(60)
    lacked = f"Node 1 ({socket.gethostname()}): train.it had "
    told = [one.text for one in said if isinstance(one, Message) and one.text.startswith(lacked)]
    if auto:
        assert (first, ended) == (None, [None])
        assert sorted(text.partition("peak. ")[2] for text in told) == [
            "Going on with `micro_batch_size` = 2.",
            "It is to be done in smaller parts.",
        ]
    else:
        assert isinstance(first, OutOfMemoryError)
        assert [str(one) for one in ended] == [str(first)]
        assert (first.diagnostics[0].detail.startswith(lacked), told) == (True, [])


def _error_of(act: Callable[[], object]) -> ProblemError | None:
    try:
        act()
    except ProblemError as error:
        return error
    return None


KILLED = "The worker process was killed by SIGKILL without a last word."


@pytest.mark.torch
@pytest.mark.parametrize(
    ("act", "culprit", "told"),
    [
        ("one_raises_among_others", 1, ("Step failed", "IndexError: what is 6 of 5?")),
        ("first_raises_among_others", 0, ("Step failed", "IndexError: what is 6 of 5?")),
        ("one_is_killed_among_others", 1, ("Worker died", KILLED)),
    ],
)
def test_what_fails_on_one_node_is_told_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, culprit: int, told: tuple[str, str]
) -> None:
    _perform(monkeypatch, act)
    # The other node learns it from its own worker, which loses a connection, before it looks.
    monkeypatch.setattr("executor.workers.shared_steps.LOOK_SECONDS", 60.0)
    world = World("ddp", 1, 2, 0, "127.0.0.1", free_port())
    log, failed = tmp_path / "it.log", dict[int, Diagnostic]()
    of_culprit = log.with_suffix(f".rank{culprit}.log") if culprit else log

    def first() -> None:
        with pytest.raises(ProblemError) as error:
            build_on_nodes(evolve(_task(tmp_path), world=world), lambda _: None, Stop(), log, OWNER.id)
        (failed[0],) = error.value.diagnostics

    applying = threading.Thread(target=first, daemon=True)
    applying.start()
    with pytest.raises(ProblemError) as error:
        follow(_node(tmp_path), lambda: OWNER, lambda _: None, Stop())
    (failed[1],) = error.value.diagnostics
    applying.join(60)
    assert failed[0] == failed[1]
    summary, detail = told
    assert failed[0].summary == summary
    assert failed[0].detail.startswith(f"Node {culprit} ({socket.gethostname()}): {detail}")
    assert f"`{of_culprit}`" in failed[0].detail + failed[0].hint
    if summary == "Step failed":
        assert "Traceback (most recent call last)" in of_culprit.read_text()
        assert "raise IndexError(message)" in of_culprit.read_text()
    wait_until_gone(_children(of_culprit))


@pytest.mark.torch
def test_who_waits_for_a_node_that_never_comes_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _perform(monkeypatch, "one_raises_among_others")
    world = World("ddp", 1, 2, 0, "127.0.0.1", free_port())
    log, stop, ended = tmp_path / "it.log", Stop(), threading.Event()

    def first() -> None:
        with pytest.raises(InterruptedStepError):
            build_on_nodes(evolve(_task(tmp_path), world=world), lambda _: None, stop, log, OWNER.id)
        ended.set()

    threading.Thread(target=first, daemon=True).start()
    _until(lambda: log.exists() and "joins" in log.read_text())
    _until(lambda: _listens(world.main_port))  # torch waits for the other node
    stop.request()
    assert ended.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


RECIPE = """\
[model.tiny]
source = "{model}"

[dataset.chats]
source = "chats.jsonl"
type = "chat_template"

[train.it]
method = "sft"
model = "model.tiny"
datasets = ["dataset.chats"]
learning_rate = 1e-2
batch_size = 4
micro_batch_size = 2
max_steps = 40
lr_scheduler = "constant"
sequence_len = 96
bf16 = false
distributed = {{ nodes = 2, processes = 1 }}
checkpoints = {{ save_steps = 5 }}
"""


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_two_nodes_train_one_model_are_killed_and_go_on(laboratory: Laboratory, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "recipe.toml").write_text(RECIPE.format(model=laboratory.model.folder))
    turns = [("user", "What is one and one?"), ("assistant", "Two.")]
    row = json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]})
    (tmp_path / "chats.jsonl").write_text(f"{row}\n" * 8)
    with _nodes(tmp_path) as (first, other):
        assert first.stdout is not None
        kept = next(one["kept"] for one in map(json.loads, first.stdout) if one["type"] == "checkpoint")
        for process in (first, other):
            process.kill()
    with _nodes(tmp_path) as (first, other):
        printed, _ = first.communicate(timeout=300)
        joined, _ = other.communicate(timeout=120)
    assert (first.returncode, other.returncode) == (0, 0), printed + joined
    assert "joins 127.0.0.1:" in joined
    assert json.loads(printed.splitlines()[-1])["steps"]["train.it"] == "resumed"
    record = json.loads((tmp_path / ".tune" / "state.json").read_text())["records"]["train.it"]
    assert record["status"] == "ready"
    assert record["checkpoints"][-1]["world_size"] == 2
    assert record["facts"]["resumed_from"] >= kept[0]["step"] == 5
    # The same on as many processes of one machine, without a break.
    replayed = subprocess.run(
        [TUNE, "verify", "train.it", "--replay", "--json"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert json.loads(replayed.stdout)["same"] is True


@contextmanager
def _nodes(folder: Path) -> Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]:
    """The first node and the other one."""
    command = [TUNE, "apply", str(folder), "--json"]
    options: dict[str, Any] = {"cwd": folder, "stdout": -1, "text": True}
    with (
        running([*command, "--node-rank", "1"], **options) as other,
        running([*command, "--auto-approve", "--main-address", "127.0.0.1"], **options) as first,
    ):
        yield first, other
