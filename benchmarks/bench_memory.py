"""`make bench-memory`: what making tokens of a large file takes; `python -m benchmarks.bench_memory [GIGABYTES]`.

A file of that size and one of a tenth of it, of chats of 1.1 kB that all differ, in words so long that their tokens
fit on the disk beside them. Each is made into packed token rows in a process of its own, with those that it starts.
While they run, the memory that is theirs alone is added up: without pages of files, which the system takes back when
it needs them. Where memory can be limited, they hold no more than LIMIT, pages of files included, or do not finish.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.tokenize_builds import build
from benchmarks.tokenize_data import make_tokenizer

_HOUSE = Path(__file__).parent.parent
LIMIT = 3 << 29
"""1.5 GiB."""
_GROUPS = Path("/sys/fs/cgroup/memory")
_GROUP = _GROUPS / f"tune-bench-{os.getpid()}"
_SECONDS = 0.2
"""Between two looks."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def main() -> None:
    """Measure both sizes, or build one of them in this process."""
    if len(sys.argv) > 2:  # noqa: PLR2004  a child: the folder and the name of the file
        _, facts = build("", Path(sys.argv[1]), Path(sys.argv[1], "made"), sys.argv[2], sample_packing=True)
        print(json.dumps({"rows": facts["documents"], "tokens": facts["tokens"]}))
        return
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    measured = []
    print("| file | rows | tokens | seconds | most memory, MB | bytes a row |\n|---|---|---|---|---|---|")
    for part in (0.1, 1.0):
        with tempfile.TemporaryDirectory() as name:
            found = measure(Path(name), int(gigabytes * part * 1e9))
        measured.append(found)
        print(
            f"| {gigabytes * part:.1f} GB | {found['rows']:,.0f} | {found['tokens']:,.0f} | {found['seconds']:.0f} "
            f"| {found['memory'] / 1e6:.0f} | {found['memory'] / found['rows']:.0f} |"
        )
    small, large = measured
    slope = (large["memory"] - small["memory"]) / (large["rows"] - small["rows"])
    print(json.dumps({"bytes_per_row": round(slope, 1), "most": large["memory"], "limited": _GROUPS.is_dir()}))


def measure(folder: Path, size: int) -> dict[str, float]:
    """Make a file of about this many bytes and its tokens; the most memory that this takes at any time."""
    words = ["".join(random.Random(at).choices(_LETTERS, k=30)) for at in range(200)]  # noqa: S311  no secret
    make_tokenizer(folder, [" ".join(words)] * 2)
    write(folder / "chats.jsonl", words, size)
    command = [sys.executable, "-m", "benchmarks.bench_memory", str(folder), "chats.jsonl"]
    began = time.perf_counter()
    with limited(), subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_HOUSE) as child:
        most = 0
        while child.poll() is None:
            most = max(most, sum(map(own_memory, family(child.pid))))
            time.sleep(_SECONDS)
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
        assert child.stdout is not None  # noqa: S101  it is a pipe
        found: dict[str, float] = json.loads(child.stdout.read())
    return {**found, "memory": most, "seconds": time.perf_counter() - began}


def write(path: Path, words: list[str], size: int) -> None:
    """A JSONL file of about this many bytes; no two rows are the same."""
    texts = [" ".join(random.Random(at).choices(words, k=34)) for at in range(100)]  # noqa: S311  no secret
    with path.open("w", buffering=1 << 20) as file:
        number = 0
        while number % 1000 or file.tell() < size:
            chat = [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": texts[number % 100]}]
            file.write(json.dumps({"messages": chat}) + "\n")
            number += 1


@contextmanager
def limited() -> Iterator[None]:
    """Processes that are started here may hold LIMIT bytes together, where the system has groups for that."""
    if not os.access(_GROUPS, os.W_OK):
        yield
        return
    _GROUP.mkdir()
    (_GROUP / "memory.limit_in_bytes").write_text(str(LIMIT))
    (_GROUP / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (_GROUPS / "cgroup.procs").write_text(str(os.getpid()))
        _GROUP.rmdir()


def family(process: int) -> list[int]:
    """A process and those that it started."""
    found = [process]
    for one in found:
        try:
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:  # it has ended
            continue
    return found


def own_memory(process: int) -> int:
    """Bytes that are a process's own."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
