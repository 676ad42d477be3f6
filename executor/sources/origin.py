"""From a dataset's `source` to its files: where they lie, what messages call them, and the rows that are taken."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from executor.data.dataset_fields import Dataset
from executor.models import hub
from executor.sources import splits
from executor.sources.file_formats import read_file, suffix
from executor.sources.paths import folder_files, folder_names, is_address, is_glob, source_files
from state.diagnostic import problem
from state.files import FileDigests
from state.values import frozen

if TYPE_CHECKING:
    from executor.sources.selection import Rows

COMMIT = "commit"
"""What identifies rows of a hub goes by this name in their content."""


class Origin(StrEnum):
    """Where a dataset comes from."""

    LOCAL = "local"
    HUB = "hub"
    STORAGE = "storage"


@frozen
class Part:
    """One slice of a split, and the files that it is cut from, with the names that messages give them."""

    slice: splits.Slice
    files: tuple[tuple[Path, str], ...]


def sources_of(dataset: Dataset) -> tuple[str, ...]:
    """The entries of `source`."""
    return (dataset.source,) if isinstance(dataset.source, str) else dataset.source


def origin_of(dataset: Dataset, recipe_folder: Path) -> Origin:
    """Where a dataset comes from; what exists beside the recipe goes before a hub id of the same name."""
    first = sources_of(dataset)[0]
    if is_address(first):
        return Origin.STORAGE
    could_be_id = not suffix(first) and hub.is_id(first) and not is_glob(first)
    return Origin.HUB if could_be_id and not (recipe_folder / first).exists() else Origin.LOCAL


def parts(dataset: Dataset, folder: Path) -> tuple[Part, ...]:
    """The files of a dataset in a folder: the recipe's for local ones, else the one to which they were fetched.

    Raises ProblemError where a configuration or split is asked for that is not there.
    """
    origin = origin_of(dataset, folder)
    default = splits.TRAIN if origin is Origin.HUB else ""
    wanted = splits.parse(dataset.split) if dataset.split else (splits.Slice(default),)
    found = tuple(Part(one, _files(dataset, folder, origin, one.split)) for one in wanted)
    for part in found:
        if part.slice.split and not part.files and (all_ := _files(dataset, folder, origin, "")):
            raise splits.unknown(", ".join(sources_of(dataset)), part.slice.split, _splits(dataset, folder, all_))
        if missing := splits.missing_shards([name for _, name in part.files]):
            raise problem("Missing file", f"`{missing}` is one of several files, and not all of them are here.")
    return found


def named_files(dataset: Dataset, folder: Path) -> list[tuple[Path, str]]:
    """The files of a dataset, each once, with the names that messages and records give them."""
    return list(dict.fromkeys(file for part in parts(dataset, folder) for file in part.files))


def digests_of_files(dataset: Dataset, folder: Path, digests: FileDigests) -> dict[str, str]:
    """The digests of a dataset's files, by the names that messages and records give them."""
    source = dataset.source
    # Most datasets are one file, and a plan may have thousands of them: one look at the disk tells.
    if isinstance(source, str) and not dataset.split and _is_plain(source):
        known = digests.remembered(f"{folder}/{source}")
        if known:
            return {source: known}
    files = named_files(dataset, folder)
    found = digests.digests([path for path, _ in files])
    return {name: digest for (_, name), digest in zip(files, found, strict=True)}


def _is_plain(source: str) -> bool:
    """Whether a source is written as records would name a file below the recipe, no shard of others."""
    return source[0] not in "./" and "//" not in source and "/." not in source and "-of-" not in source


def rows(dataset: Dataset, folder: Path) -> Rows:
    """The rows that a dataset takes, in order: sound ones, and broken ones with what is wrong with them."""
    from executor.sources.selection import selected
    from executor.sources.shuffling import shuffled

    taken = selected(partial(_read, parts(dataset, folder)), dataset)
    return shuffled(taken, dataset.seed) if dataset.shuffle else taken


def _read(found: tuple[Part, ...]) -> Rows:
    for part in found:
        count = sum(1 for _ in _all(part)) if part.slice.needs_count else 0
        yield from part.slice.cut(_all(part), count)


def _all(part: Part) -> Rows:
    return chain.from_iterable(read_file(path, name) for path, name in part.files)


def _files(dataset: Dataset, folder: Path, origin: Origin, split: str) -> tuple[tuple[Path, str], ...]:
    return tuple((path, _name(dataset, folder, origin, path)) for path in _paths(dataset, folder, origin, split))


def _paths(dataset: Dataset, folder: Path, origin: Origin, split: str) -> list[Path]:
    sources = sources_of(dataset)
    root = folder if origin is Origin.HUB else folder / sources[0]
    if origin is Origin.HUB or (origin is Origin.LOCAL and len(sources) == 1 and root.is_dir()):
        from executor.sources import hub_folder

        found = hub_folder.files_of(folder_names(root), root / "README.md", dataset.name, split)
        return [root / name for name in found]
    there = folder_files(folder) if origin is Origin.STORAGE else list(source_files(sources, folder))
    names = {_name(dataset, folder, origin, path): path for path in there}
    # Files that a recipe names itself are to be trained, whatever they are called.
    return [names[name] for name in splits.of_split(names, split)] or (there if split == splits.TRAIN else [])


def _below(folder: Path, path: Path) -> str:
    """A path relative to a folder; one that leads elsewhere stays whole."""
    return path.as_posix().removeprefix(f"{folder.as_posix()}/")


def _splits(dataset: Dataset, folder: Path, files: tuple[tuple[Path, str], ...]) -> list[str]:
    """The splits that there are."""
    root = folder if origin_of(dataset, folder) is Origin.HUB else folder / sources_of(dataset)[0]
    if not root.is_dir():
        return splits.told(name for _, name in files)
    from executor.sources import hub_folder

    return hub_folder.splits_of(
        (path.relative_to(root).as_posix() for path, _ in files), root / "README.md", dataset.name
    )


def _name(dataset: Dataset, folder: Path, origin: Origin, path: Path) -> str:
    relative = _below(folder, path)
    if origin is Origin.HUB:
        return f"{dataset.source}/{relative}"
    return f"{sources_of(dataset)[0].partition('://')[0]}://{relative}" if origin is Origin.STORAGE else relative
