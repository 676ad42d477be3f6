"""One worker process among those that build a task together: what it says, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeAlias

from attrs import define, field

from executor.workers import events
from executor.workers.world import World
from state.secrets import without_secrets
from state.values import frozen

COMMAND = (sys.executable, "-m", "executor.workers.worker")
FOREIGN = (
    *("PYTHONPATH", "PYTHONHOME"),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
)
"""What could put a stranger's modules before ours (`state.py` in the user's folder), or a launcher around us left."""
FOREIGN_PREFIXES = ("ACCELERATE_", "FSDP_", "TORCHELASTIC_")


@frozen
class Said:
    """A rank has sent an event."""

    rank: int
    event: events.WorkerEvent


@frozen
class Gone:
    """A rank has ended."""

    rank: int


News: TypeAlias = Said | Gone


@define(eq=False)
class RankProcess:
    """A running rank. Its news goes to a queue in the order in which it happens."""

    rank: int
    """Among the processes of all nodes."""
    log: Path
    """What it and its libraries print."""
    process: subprocess.Popen[bytes]
    last: events.WorkerEvent | None = None
    """Its last word, if it has said it."""
    ended: float = 0.0
    """When it ended or failed, by the monotonic clock; 0.0 while it works."""
    killed: bool = False
    """Whether we ended it."""
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def follow(self, news: queue.Queue[News]) -> None:
        """Keep its log and pass on what it says and that it has ended, each in a thread."""
        for target in (self._keep_log, self._listen, self._wait):
            thread = threading.Thread(target=target, args=(news,), name=f"rank-{self.rank}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.process.returncode is None:
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it and all that it started at once."""
        if self.process.returncode is None:
            self.killed = True
            os.killpg(self.process.pid, signal.SIGKILL)

    def close_input(self) -> None:
        """Tell it that nobody waits for it any more: a worker whose input closes ends itself."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def end(self, deadline: float) -> None:
        """Wait until it has ended, at the latest by a time of the monotonic clock, and release what belongs to it."""
        *others, waiting = self._threads
        waiting.join(max(0.0, deadline - time.monotonic()))
        self.kill()
        for thread in (waiting, *others):
            thread.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    @property
    def failed(self) -> bool:
        """Whether it crashed, or ended without a last word."""
        return isinstance(self.last, events.Crashed) or (self.last is None and self.ended > 0)

    def _keep_log(self, _: queue.Queue[News]) -> None:
        keep_log(self.process, self.log)

    def _listen(self, news: queue.Queue[News]) -> None:
        for line in self.process.stdout or ():
            event = events.from_plain(json.loads(without_secrets(line.decode())))
            if isinstance(event, events.Finished | events.Stopped | events.Crashed):
                self.last = event
                self.ended = time.monotonic()
            news.put(Said(self.rank, event))  # type: ignore[arg-type]  # a worker sends none but its own events

    def _wait(self, news: queue.Queue[News]) -> None:
        """See its end, and end what it started and left behind; only then may its number go to another process."""
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._threads[1].join()  # it listens: what the process has said comes before the news of its end
        self.ended = self.ended or time.monotonic()
        news.put(Gone(self.rank))


def keep_log(process: subprocess.Popen[bytes], log: Path) -> None:
    """Write what a worker and its libraries print to the log, line by line, without secrets.

    A worker is read on where the disk has no room for it: it would wait for ever to be rid of the next line.
    """
    with ExitStack() as opened:
        output = None
        with suppress(OSError):
            output = opened.enter_context(log.open("wb", buffering=0))
        for line in process.stderr or ():
            with suppress(OSError):
                if output is not None:
                    output.write(without_secrets(line.decode(errors="replace")).encode())


def start(step: Path, world: World, local_rank: int, log: Path, news: queue.Queue[News]) -> RankProcess:
    """Start the rank with this number on this node; `step` is the file of its task, `log` that of the first rank."""
    rank = world.node_rank * world.processes + local_rank
    process = subprocess.Popen(  # noqa: S603  our own module
        [*COMMAND, str(step)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(world, local_rank),
        cwd=step.parent,
        process_group=0,
    )
    own_log = log if rank == 0 else log.with_suffix(f".rank{rank}{log.suffix}")
    made = RankProcess(rank, own_log, process)
    made.follow(news)
    return made


def environment(world: World, local_rank: int) -> dict[str, str]:
    """What a rank finds in its environment: its place among the others, as torch.distributed reads it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN and not name.startswith(FOREIGN_PREFIXES)
    }
    placed = {
        "RANK": world.node_rank * world.processes + local_rank,
        "LOCAL_RANK": local_rank,
        "WORLD_SIZE": world.size,
        "LOCAL_WORLD_SIZE": world.processes,
        "MASTER_ADDR": world.main_address,
        "MASTER_PORT": world.main_port,
    }
    as_text = {name: str(value) for name, value in placed.items()} if world.strategy != "single" else {}
    return {**kept, **_shared_machine(world), **as_text, "PYTHONSAFEPATH": "1"}


def _shared_machine(world: World) -> dict[str, str]:
    if world.processes == 1:
        # One process uses one GPU; with several in sight, transformers would split batches in a way that TRL refuses.
        return {"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]}
    threads = max(1, (os.cpu_count() or 1) // world.processes)
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}


def ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    code = process.returncode
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
