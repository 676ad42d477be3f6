"""Many records of which most are never looked at: each stays the line that it was read from until somebody asks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Generic, TypeVar, overload

from state.diagnostic import Place, problem
from state.plain import as_line, from_plain, record_to_plain

T = TypeVar("T")
Default = TypeVar("Default")
TOGETHER = 200
"""Records that are parsed at once: more take no less time each, and memory that the processor cannot keep near."""


class Entries(Mapping[str, T], Generic[T]):
    """An immutable mapping from names to records, kept as lines of JSON, as records, or as both.

    Ten thousand records cost a fifth of a second to parse; a command that touches three of them parses three.
    """

    __slots__ = ("_file", "_kind", "_lines", "_values")

    def __init__(
        self, lines: Mapping[str, bytes], kind: type[T], values: Mapping[str, T] | None = None, file: str = ""
    ) -> None:
        """Take lines of a file, each one record of a class; `values` are those that are known as records, or all."""
        self._kind, self._file = kind, file
        self._values = dict(values or {})
        self._lines: dict[str, bytes | None] = {**dict.fromkeys(self._values), **lines}

    @classmethod
    def of(cls, values: Mapping[str, T], kind: type[T]) -> Entries[T]:
        """The mapping itself if it is one of ours, else one of the same records."""
        return values if isinstance(values, Entries) else cls({}, kind, values)

    def __getitem__(self, name: str) -> T:
        """The record, parsed if nobody asked for it before; raises ProblemError for a line that is none."""
        found = self._values.get(name)
        if found is None:
            line = self._lines[name]
            if line is None:
                raise KeyError(name)
            found = self._values[name] = self._parse(name, line)
        return found

    @overload
    def get(self, name: str, /) -> T | None: ...
    @overload
    def get(self, name: str, /, default: T | Default) -> T | Default: ...
    def get(self, name: str, /, default: object = None) -> object:
        """The record, or the default where there is none; Mapping's own way takes three times as long."""
        return self._values.get(name) or (self[name] if name in self._lines else default)

    def __iter__(self) -> Iterator[str]:
        """The names, in no order that means anything."""
        return iter(self._lines)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lines)

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name, without parsing it."""
        return name in self._lines

    def __repr__(self) -> str:
        """As a mapping."""
        return f"Entries({dict(self)!r})"

    def line(self, name: str) -> bytes:
        """The record as the line that it was read from, or would be written as."""
        found = self._lines[name]
        if found is None:
            found = self._lines[name] = as_line(record_to_plain(self._values[name]))
        return found

    def changed(self, changes: Mapping[str, T | None]) -> Entries[T]:
        """These entries with some replaced or added, and those taken out whose new value is None."""
        lines = {name: line for name, line in self._lines.items() if name not in changes}
        values = {name: value for name, value in self._values.items() if name not in changes}
        values |= {name: value for name, value in changes.items() if value is not None}
        made: Entries[T] = Entries({}, self._kind, values, self._file)
        made._lines = {**dict.fromkeys(values), **lines}
        return made

    def read_ahead(self, names: Iterable[str]) -> None:
        """Parse at once what will be asked for, in two thirds of the time; what is damaged waits until it is."""
        unread = [name for name in names if self._lines.get(name) is not None and name not in self._values]
        for start in range(0, len(unread), TOGETHER):
            group = unread[start : start + TOGETHER]
            lines = b",".join(self._lines[name] or b"" for name in group)
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                found = [from_plain(one, self._kind) for one in json.loads(b"[" + lines + b"]")]
                self._values |= dict(zip(group, found, strict=True))

    def _parse(self, name: str, line: bytes) -> T:
        # Never a KeyError: `get` would take a record that cannot be read for one that is not there.
        try:
            return from_plain(json.loads(line.decode()), self._kind)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            detail = f"The entry `{name}` of the state cannot be read as a {self._kind.__name__.lower()}: {error}."
            hint = "Restore the state from version control or a backup."
            raise problem("Damaged state", detail, hint, Place(self._file)) from None

    def since(self, before: Entries[T]) -> dict[str, T | None]:
        """What has to change in earlier entries to give these: the inverse of `changed`."""
        gone: dict[str, T | None] = dict.fromkeys(name for name in before if name not in self)
        new = {name: self[name] for name in self if name not in before or self.line(name) != before.line(name)}
        return {**gone, **new}
