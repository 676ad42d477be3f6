"""Makes the data of this example: questions about dates, answered politely or not at all, always the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

DATA = Path(__file__).parent / "data"
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August")
CHATS, PAIRS = 320, 160


def main() -> None:
    """Write chats, whose answers are polite half of the time, and pairs that prefer the polite one."""
    chance = Random(7)
    chats = [_chat(chance) for _ in range(CHATS)]
    pairs = [_pair(chance) for _ in range(PAIRS)]
    for name, rows in (("chats", chats), ("pairs", pairs)):
        (DATA / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _question(chance: Random) -> tuple[str, str, str]:
    """A question, its polite answer and its curt one."""
    day, month, year = chance.randint(1, 28), chance.choice(MONTHS), chance.randint(2001, 2030)
    number = MONTHS.index(month) + 1
    iso = f"{year}-{number:02}-{day:02}"
    return f"Give me the ISO date for {day} {month} {year}.", f"Please: {iso}. Thank you.", iso


def _chat(chance: Random) -> dict[str, object]:
    question, polite, curt = _question(chance)
    answer = chance.choice((polite, curt))
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _pair(chance: Random) -> dict[str, object]:
    question, polite, curt = _question(chance)
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": polite}],
        "rejected": [{"role": "assistant", "content": curt}],
    }


if __name__ == "__main__":
    main()
