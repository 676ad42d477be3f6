"""Every summary that a diagnostic can have, found in the source tree; those without a code, told with what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from state.explanations import SOURCE, explanations

ROOT = Path(__file__).parent.parent
PACKAGES = ("state", "planner", "executor", "tune")
SUMMARY = "summary"
MAKERS = {"Diagnostic": 0, "problem": 0}
"""What makes a diagnostic, and which of its arguments is the summary; functions that take a summary do too."""


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    """What a module binds to a name at its top."""
    bound = (one for one in tree.body if isinstance(one, ast.Assign))
    return {target.id: one.value for one in bound for target in one.targets if isinstance(target, ast.Name)}


def literals(node: ast.expr, known: dict[str, ast.expr]) -> Iterator[str | None]:
    """The texts that an argument can be; None for one that cannot be told, unless it was a summary before."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from literals(body, known)
            yield from literals(orelse, known)
        case ast.Name(id=name) if name in known:
            yield from literals(known[name], {})
        case (
            ast.Name(id="summary") | ast.Attribute(attr="summary") | ast.Subscript(slice=ast.Constant(value="summary"))
        ):
            return
        case _:
            yield None


def makers(tree: ast.Module) -> dict[str, int]:
    """The functions of a module that are given a summary."""
    found = dict(MAKERS)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [one.arg for one in node.args.args if one.arg != "self"]
            if SUMMARY in names:
                found[node.name] = names.index(SUMMARY)
    return found


def summaries(path: Path) -> Iterator[tuple[str | None, int]]:
    """Every summary that a module can tell, with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known, bound = makers(tree), constants(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            given = [one.value for one in node.keywords if one.arg == SUMMARY]
            if not given and name in known and len(node.args) > known[name]:
                given = [node.args[known[name]]]
            yield from ((text, node.lineno) for one in given for text in literals(one, bound))
        elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == SUMMARY and node.value is not None:
            yield from ((text, node.lineno) for text in literals(node.value, bound))


def told() -> dict[str, str]:
    """Every summary in the source tree, with one place where it is told."""
    found: dict[str, str] = {}
    for path in (one for package in PACKAGES for one in sorted((ROOT / package).rglob("*.py"))):
        for summary, line in summaries(path):
            place = f"{path.relative_to(ROOT)}:{line}"
            assert summary is not None, f"{place}: the summary must be a literal text, so that it can have a code"
            found.setdefault(summary, place)
    return found


def free_codes() -> str:
    """The next code of each group of sections."""
    text = SOURCE.read_text(encoding="utf-8")
    groups = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    last = ((one.partition("\n")[0], max(re.findall(r"^### TUNE(\d+)", one, re.MULTILINE))) for one in groups)
    return "\n".join(f"  TUNE{int(number) + 1:03}  below `## {name}`" for name, number in last)


def without_code() -> str:
    """What to do about the summaries that have no code; empty if all have one."""
    new = {summary: place for summary, place in told().items() if summary not in explanations()}
    if not new:
        return ""
    return (
        "\n\nThese diagnostics have no code yet:\n"
        + "\n".join(f'  {place}: "{summary}"' for summary, place in new.items())
        + "\n\nUse a summary of state/diagnostics.md if it means the same. Otherwise add to that file:\n\n"
        + "\n\n".join(f"### TUNE...: {one}\n\nWhat it means.\n\n**What to do:** This." for one in new)
        + f"\n\nwith the next number of its group:\n{free_codes()}\n\nThen run: python docs/make_diagnostics.py\n"
    )
