"""What diagnostics say, as far as the source tree shows it: the ends of their details and hints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

MAKERS = {"Diagnostic": 1, "problem": 1, "_wrong": 1, "usage_problem": 0}
"""What makes a diagnostic, and which of its arguments is the detail; the hint follows."""
ENDS = (".", "?", ":")


def ends(node: ast.expr, function: ast.AST) -> Iterator[str]:
    """The last words that an expression can have, where they are written down and not computed."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr(values=[*_, ast.FormattedValue(value=last)]):
            # A name at the end is a stop of its own only if it may be empty or brings one.
            yield from ends(last, function) if isinstance(last, ast.IfExp) else ()
        case ast.JoinedStr(values=[*_, last]):
            yield from ends(last, function)
        case ast.IfExp(body=one, orelse=other) | ast.BinOp(left=ast.IfExp(body=one, orelse=other)):
            yield from (*ends(one, function), *ends(other, function))
        case ast.BoolOp(values=values):
            yield from (text for one in values for text in ends(one, function))
        case ast.Name(id=name):
            yield from (text for one in bound(name, function) for text in ends(one, function))


def bound(name: str, function: ast.AST) -> Iterator[ast.expr]:
    """What a function binds to a name."""
    for node in (one for one in ast.walk(function) if isinstance(one, ast.Assign)):
        for target in node.targets:
            match target, node.value:
                case ast.Name(id=found), value if found == name:
                    yield value
                case ast.Tuple(elts=names), ast.Tuple(elts=values):
                    pairs = zip(names, values, strict=True)
                    yield from (one for target, one in pairs if isinstance(target, ast.Name) and target.id == name)


def unended(path: Path) -> Iterator[str]:
    """The details and hints of a module that end as no sentence does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        for node in (one for one in ast.walk(function) if isinstance(one, ast.Call)):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            start = MAKERS.get(name, len(node.args))
            said = [
                *node.args[start : start + 2],
                *(one.value for one in node.keywords if one.arg in ("detail", "hint")),
            ]
            for text in (text for one in said for text in ends(one, function)):
                if text and not text.rstrip("`\"')").endswith(ENDS):
                    yield f"{path.name}:{node.lineno}: ...{text[-40:]}"
