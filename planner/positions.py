"""Where each key of a TOML text stands, which no TOML library tells; used for messages only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import tomli
from attrs import field

from state.values import mutable

Path: TypeAlias = tuple[str, ...]

_KEY_PART = re.compile(r"""\s*(?:"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'|([A-Za-z0-9_-]+))\s*""")
_TABLE = re.compile(r"=\s*{")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)


def positions(text: str) -> dict[str, tuple[int, int]]:
    """Line and column, counted from 1, of every table header and key, by dotted path; the text must be valid TOML.

    Array-of-tables entries are numbered from 0: `moved.0.from`. Inline tables are not looked for in lists.
    """
    return dict(_Scanner(text).scan())


@mutable
class _Scanner:
    text: str
    at: int = 0
    table: Path = ()
    line: int = 1
    counted: int = 0
    entries: dict[Path, int] = field(factory=dict)

    def scan(self) -> Iterator[tuple[str, tuple[int, int]]]:
        while self._skip_blank():
            start = self.at
            if self.text.startswith("[", start):
                yield ".".join(self._header()), self._place(start)
                self._to_end_of_line()
                continue
            path = (*self.table, *self._key())
            yield ".".join(path), self._place(start)
            if _TABLE.match(self.text, self.at):
                for inner, at in self._inside(path):
                    yield ".".join(inner), self._place(at)
            else:
                self._skip_value()

    def _inside(self, path: Path) -> Iterator[tuple[Path, int]]:
        """The keys of the inline table that is the value of a key, if it is one; goes behind the value."""
        self.at += 1
        self._skip_blank()
        if not self.text.startswith("{", self.at):
            self._skip_value("\n,}")
            return
        self.at += 1
        while self._skip_blank() and not self.text.startswith("}", self.at):
            start = self.at
            inner = (*path, *self._key())
            yield inner, start
            yield from self._inside(inner)
            self._skip_blank()
            self.at += self.text.startswith(",", self.at)
        self.at += 1

    def _skip_blank(self) -> bool:
        """Go to the next header or key; False at the end of the text."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                self._to_end_of_line()
            elif self.text[self.at].isspace():
                self.at += 1
            else:
                return True
        return False

    def _header(self) -> Path:
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        path = self._key()
        self.at += 2 if is_array else 1
        if is_array:
            number = self.entries[path] = self.entries.get(path, -1) + 1
            path = (*path, str(number))
        self.table = path
        return path

    def _key(self) -> Path:
        parts = []
        while match := _KEY_PART.match(self.text, self.at):
            escaped, literal, bare = match.groups()
            parts.append(_unescaped(escaped) if escaped is not None else literal if literal is not None else bare)
            self.at = match.end()
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        return tuple(parts)

    def _skip_value(self, ends: str = "\n") -> None:
        """Go behind a value: strings may hold anything, brackets may span lines."""
        depth = 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in "\"'" and (match := _STRING.match(self.text, self.at)):
                self.at = match.end()
                continue
            if character == "#":
                self._to_end_of_line()
                continue
            if character in ends and depth == 0:
                return
            depth += (character in "[{") - (character in "]}")
            self.at += 1

    def _to_end_of_line(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _place(self, start: int) -> tuple[int, int]:
        """Places are asked for from the front to the back, so that every line is counted once."""
        self.line += self.text.count("\n", self.counted, start)
        self.counted = start
        return self.line, start - (self.text.rfind("\n", 0, start) + 1) + 1


def _unescaped(key: str) -> str:
    """A quoted key as it is read, with its escapes replaced."""
    return next(iter(tomli.loads(f'"{key}" = 0'))) if "\\" in key else key
