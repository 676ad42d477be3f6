"""Runs one task in processes of its own and passes on what they say; apply itself never loads torch."""

from __future__ import annotations

import json
import queue
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, evolve, field

from executor.workers import events, lost_connections, out_of_memory
from executor.workers.out_of_memory import OutOfMemoryError
from executor.workers.rank_process import Gone, News, RankProcess, Said, ending, start
from executor.workers.task import Outcome, Task, outcome_from, to_plain
from executor.workers.world import World
from planner.planfile import diagnostic_from_plain
from state.diagnostic import Diagnostic, ProblemError

GRACE_SECONDS = 2.0
"""How long the others may go on when one of the ranks has failed: what they say then tells which was the first."""
AHEAD_SECONDS = 1.0
"""How much later than the others' complaints the death of a rank may come to our notice."""
ENDING_SECONDS = 30.0
"""How long ranks may take to end once one has finished."""
RECORDING_SECONDS = 5.0
"""What it may take to record what a step saved, where the time to stop is limited."""
Emit = Callable[[events.Event], None]


class InterruptedStepError(Exception):
    """The step stopped because someone asked it to; what it had checkpointed is kept."""


@define
class Stop:
    """A wish to stop, set from a signal handler: the first is passed on politely, the second kills."""

    within: float | None = None
    """Seconds after the first request by which all must be over; None: as long as it takes."""
    requests: int = 0
    _asked: float = field(default=0.0, init=False)
    _ranks: Sequence[RankProcess] = field(default=(), init=False)

    @property
    def requested(self) -> bool:
        """Whether anyone asked."""
        return self.requests > 0

    def request(self) -> None:
        """Ask the running step, if there is one, to save and end; ask twice to end it at once."""
        self._asked = self._asked or time.monotonic()
        self.requests += 1
        self._pass_on()

    def expire(self) -> bool:
        """The time to stop is over: end the running step at once; False if there is none."""
        running = [rank for rank in self._ranks if rank.process.returncode is None]
        for rank in running:
            rank.signal(signal.SIGKILL)
        return bool(running)

    @property
    def seconds_for_saving(self) -> float | None:
        """What a step may take, from the request on, so that there is time to record what it saved."""
        return None if self.within is None else max(self.within - min(RECORDING_SECONDS, self.within / 4), 0.1)

    def seconds_left(self, most: float) -> float:
        """What is left, from now on, of the time that was given; at most as long as said."""
        if self.within is None or not self.requested:
            return most
        return max(0.0, min(most, self._asked + self.within - time.monotonic()))

    def watch(self, ranks: Sequence[RankProcess]) -> None:
        """The processes to pass the wish on to from now on."""
        self._ranks = ranks
        if self.requested:
            self._pass_on()

    def _pass_on(self) -> None:
        for rank in self._ranks:
            rank.signal(signal.SIGTERM if self.requests == 1 else signal.SIGKILL)


def run_in_worker(task: Task, emit: Emit, stop: Stop, log: Path) -> Outcome:
    """Build the task in worker processes, one for each rank of its world, their libraries' output going to log files.

    Raises InterruptedStepError if it was asked to stop, ProblemError if it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    counted = out_of_memory.before()
    with tempfile.TemporaryDirectory(prefix="tune-") as scratch:
        step = Path(scratch) / "STEP.json"
        step.write_text(json.dumps(to_plain(task)))
        news: queue.Queue[News] = queue.Queue()
        with _running(step, task.world, log, news) as ranks:
            stop.watch(ranks)
            try:
                _listen(ranks, news, emit)
            finally:
                stop.watch(())
    first = ranks[0].last
    if isinstance(first, events.Finished):
        return outcome_from(first.outcome)
    culprit = _culprit(ranks)
    if culprit.last is None and culprit.process.returncode == -signal.SIGKILL and not stop.requested:
        lacking = out_of_memory.killed(task, counted)
        if lacking is not None:
            raise OutOfMemoryError(lacking)
    raise failure(ranks, stop)


@contextmanager
def _running(step: Path, world: World, log: Path, news: queue.Queue[News]) -> Iterator[list[RankProcess]]:
    """All ranks of this node; whatever happens, none of them is left in the end."""
    ranks: list[RankProcess] = []
    try:
        ranks.extend(start(step, world, local_rank, log, news) for local_rank in range(world.processes))
        yield ranks
    finally:
        for rank in ranks:
            rank.close_input()
        deadline = time.monotonic() + ENDING_SECONDS
        for rank in ranks:
            rank.end(deadline)


def _listen(ranks: Sequence[RankProcess], news: queue.Queue[News], emit: Emit) -> None:
    """Pass on what the ranks say until all have ended, or one has failed and the others have had time to say so."""
    running = len(ranks)
    while running:
        seconds = _seconds_left(ranks)
        try:
            one = news.get(timeout=seconds)
        except queue.Empty:
            for rank in ranks:
                rank.kill()
            return
        match one:
            case Gone():
                running -= 1
            case Said(_, events.Progress() | events.CheckpointWritten() | events.Message() as event):
                emit(event)


def _seconds_left(ranks: Sequence[RankProcess]) -> float | None:
    """How long to wait for more; None: as long as it takes."""
    failed = [rank.ended + GRACE_SECONDS for rank in ranks if rank.failed]
    # The first rank may have much to write after the others have done their part.
    done = [ranks[0].ended + ENDING_SECONDS] if ranks[0].ended else []
    return max(0.0, min((*failed, *done)) - time.monotonic()) if failed or done else None


def failure(ranks: Sequence[RankProcess], stop: Stop) -> Exception:
    """What to raise when the first rank has not finished: that the step was stopped, or what went wrong first."""
    culprit = _culprit(ranks)
    if any(isinstance(rank.last, events.Stopped) for rank in ranks):
        return InterruptedStepError()
    if isinstance(culprit.last, events.Crashed):
        hint = f"What the step printed is in `{culprit.log}`."
        found = [_with_hint(diagnostic_from_plain(one), hint) for one in culprit.last.diagnostics]
        return out_of_memory.failure(found, ProblemError)
    return InterruptedStepError() if stop.requested else ProblemError(_died(culprit, len(ranks)))


def _culprit(ranks: Sequence[RankProcess]) -> RankProcess:
    """The rank that failed first; the others fail because they have lost it, which they may say before we see it."""
    failed = [rank for rank in ranks if rank.failed and not rank.killed]
    causes = [rank for rank in failed if not _has_lost_another(rank)]
    return min(causes or failed or ranks, key=lambda rank: rank.ended - (AHEAD_SECONDS if _was_killed(rank) else 0.0))


def _has_lost_another(rank: RankProcess) -> bool:
    """Whether it says itself that it failed because another one did."""
    told = rank.last.diagnostics if isinstance(rank.last, events.Crashed) else ()
    return any(one["summary"] == lost_connections.SUMMARY for one in told)


def _was_killed(rank: RankProcess) -> bool:
    """Whether it ended without a word and not by its own hand: NCCL aborts processes that have lost another."""
    return rank.last is None and rank.process.returncode != -signal.SIGABRT


def _died(rank: RankProcess, ranks: int) -> Diagnostic:
    who = f"The worker process of rank {rank.rank}" if ranks > 1 else "The worker process"
    detail = f"{who} {ending(rank.process)} without a last word. What it printed is in `{rank.log}`."
    hint = "If you did not kill it, the container or the cluster did, most often for want of memory or time."
    return Diagnostic("Worker died", detail, hint if rank.process.returncode == -signal.SIGKILL else "")


def _with_hint(diagnostic: Diagnostic, hint: str) -> Diagnostic:
    """The diagnostic with a hint, unless it has a better one or a place in the user's files."""
    return diagnostic if diagnostic.hint or diagnostic.place.file else evolve(diagnostic, hint=hint)
