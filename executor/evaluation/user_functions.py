"""Python functions of the user's own: named as `FILE.py:NAME`, identified by the file's bytes, loaded by its path.

A plan only reads their files. Nothing of them runs before the step that needs them, in that step's process.
"""

from __future__ import annotations

import ast
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from state.canonical import digest_bytes
from state.diagnostic import problem
from state.files import digest_file
from state.values import frozen
from state.wording import stopped

_NAMED = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")

_MODULE = "user_functions_"
"""What the names of modules begin with that are the user's files."""


@frozen
class UserFunction:
    """A function in a file, whose path is read against the recipe's folder."""

    file: str
    name: str


def user_function(text: str) -> UserFunction | None:
    """The function that a text names; None for what is no such name."""
    match = _NAMED.fullmatch(text)
    return UserFunction(match["file"], match["name"]) if match else None


def user_functions(texts: Iterable[str]) -> list[UserFunction]:
    """The functions among several names."""
    return [found for found in map(user_function, texts) if found is not None]


def function_faults(functions: Iterable[UserFunction], folder: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with functions as far as reading their files tells: what it is, and what to do."""
    for one in functions:
        path = folder / one.file
        if not path.is_file():
            yield f"`{one.file}` does not exist", "Paths are read from the recipe's folder."
            continue
        try:
            defined = _defined(path)
        except (SyntaxError, ValueError) as error:
            yield f"`{one.file}` is no Python: {error}", "Correct it."
            continue
        if one.name not in defined:
            yield f"`{one.file}` defines no function `{one.name}`", f"It defines {', '.join(defined) or 'none'}."


def _defined(path: Path) -> list[str]:
    body = ast.parse(path.read_bytes()).body
    return [one.name for one in body if isinstance(one, ast.FunctionDef)]


def function_digests(functions: Iterable[UserFunction], folder: Path) -> dict[str, str]:
    """The digest of every file that functions are in, by its path as the recipe has it."""
    files = dict.fromkeys(one.file for one in functions)
    return {file: digest_file(folder / file) for file in files if (folder / file).is_file()}


def load_function(function: UserFunction, folder: Path, planned: Mapping[str, str]) -> Callable[..., Any]:
    """Run the file, and take the function out of it; raises ProblemError if it is not what was planned, or fails."""
    path = folder / function.file
    content = path.read_bytes() if path.is_file() else b""
    digest = digest_bytes(content)
    if planned.get(function.file, digest) != digest:
        raise problem("Input moved", f"`{function.file}` changed while it was being applied.", "Run `tune plan` again.")
    name = f"{_MODULE}{digest}"
    if name not in sys.modules:
        module = sys.modules[name] = ModuleType(name)
        module.__file__ = str(path)
        try:
            exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102  the recipe names it
        except BaseException:
            del sys.modules[name]
            raise
    found: Callable[..., Any] = getattr(sys.modules[name], function.name)
    return found


@contextmanager
def calling(text: str, summary: str, hint: str) -> Iterator[None]:
    """Call a user's function and read what it gives: what goes wrong is one problem, with its line; all is logged."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        told = f"`{text}` ended with {type(error).__name__}: {error}{place_in_user_code(error)}"
        raise problem(summary, stopped(told), hint) from error


def place_in_user_code(error: BaseException) -> str:
    """The innermost line of the user's own files that an exception came through, as ` (FILE.py:LINE)`; "" if none."""
    lines = [
        f" ({Path(frame.f_code.co_filename).name}:{line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__", "")).startswith(_MODULE)
    ]
    return lines[-1] if lines else ""
