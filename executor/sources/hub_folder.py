"""Folders laid out like a dataset repository on the hub: which files a configuration and a split are made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from executor.sources import splits
from executor.sources.paths import data_files
from state.diagnostic import problem

Patterns: TypeAlias = Mapping[str, Sequence[str]]
"""Glob patterns of files, by split."""


def files_of(names: Iterable[str], card: Path, name: str, split: str) -> list[str]:
    """The files of one configuration and split among those of a folder; ProblemError if there is no such configuration.

    The card (README.md) decides if it names configurations; else a folder of that name does, and file names tell the
    splits, as in `datasets` (docs/hub/datasets-manual-configuration).
    """
    found, configurations = data_files(names), _configurations(card)
    patterns = configurations.get(name or _default(configurations))
    if configurations and patterns is None and not name:
        detail = f"The dataset has several configurations: {', '.join(sorted(configurations))}."
        raise problem("Unknown configuration", detail, "Set `name` to one of them.")
    if patterns is not None:
        chosen = [one for of, group in patterns.items() if not split or of == split for one in group]
        return [one for one in found if any(_fits(one, pattern) for pattern in chosen)]
    below = f"{name}/" if name else ""
    inside = [one.removeprefix(below) for one in found if one.startswith(below)]
    if not inside and name:
        known = ", ".join(sorted(configurations)) or "none"
        detail = f"There is no configuration `{name}`; the dataset has: {known}."
        raise problem("Unknown configuration", detail, "Set `name` to one of them.")
    return [below + one for one in splits.of_split(inside, split)]


def splits_of(names: Iterable[str], card: Path, name: str) -> list[str]:
    """The splits that a configuration has, as its card or the names of its files tell them."""
    configurations = _configurations(card)
    patterns = configurations.get(name or _default(configurations))
    return sorted(patterns) if patterns is not None else splits.told(files_of(names, card, name, ""))


def _fits(name: str, pattern: str) -> bool:
    """Whether a path fits a pattern in which `*` stops at a slash and `**` does not."""
    if "**" in pattern:
        return fnmatchcase(name, pattern) or fnmatchcase(name, pattern.replace("**/", ""))
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


def _default(configurations: Mapping[str, Patterns]) -> str:
    """The configuration that is meant where none is named: the one called so, or the only one; "" if there is none."""
    if "default" in configurations:
        return "default"
    return next(iter(configurations)) if len(configurations) == 1 else ""


def _configurations(card: Path) -> dict[str, Patterns]:
    """The configurations that a card names, with their files; none where there is no card."""
    if not card.is_file() or not re.search(r"^configs:", _beginning(card), re.MULTILINE):
        return {}
    if find_spec("huggingface_hub") is None:
        detail = f"`{card}` names configurations, and reading it needs the Python package huggingface_hub."
        raise problem("Missing library", detail, "Install `tuneform[train]`, or name the files themselves.")
    from huggingface_hub import DatasetCard
    from yaml import YAMLError  # type: ignore[import-untyped]  # it comes with huggingface_hub

    try:
        given = DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict().get("configs")
    except (YAMLError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise problem("Broken dataset card", f"The head of `{card}` cannot be read: {reason}") from None
    found = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    told = [one for one in found if one.get("data_files") or one.get("data_dir")]
    named = {str(one.get("config_name")): _patterns(one) for one in told}
    marked = next((one for one in told if one.get("default") is True), None)
    return named if marked is None else {**named, "default": _patterns(marked)}


def _patterns(configuration: Mapping[str, Any]) -> Patterns:
    folder = str(configuration.get("data_dir") or "")
    prefix = f"{folder.strip('/')}/" if folder.strip("./") else ""
    given = configuration.get("data_files") or "**"
    entries = given if isinstance(given, list) else [given]
    patterns: dict[str, list[str]] = {}
    for entry in entries:
        split, paths = (entry.get("split"), entry.get("path")) if isinstance(entry, dict) else (splits.TRAIN, entry)
        group = paths if isinstance(paths, list) else [paths]
        patterns.setdefault(str(split), []).extend(prefix + str(one).removeprefix("./") for one in group)
    return patterns


def _beginning(card: Path) -> str:
    with card.open(encoding="utf-8", errors="replace") as text:
        return text.read(1 << 16)
