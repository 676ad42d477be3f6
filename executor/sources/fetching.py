"""Rows that lie elsewhere: which versions there are, and a folder with them on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from executor.data.dataset_fields import Dataset
from executor.models import hub
from executor.sources import hub_folder, splits
from executor.sources.origin import COMMIT, Origin, origin_of, sources_of
from state.diagnostic import Diagnostic, ProblemError, problem


def versions(dataset: Dataset, recipe_folder: Path, commit: str) -> dict[str, str]:
    """What identifies the content: the commit (resolved unless it is given), or the version of every object.

    Raises ProblemError.
    """
    if origin_of(dataset, recipe_folder) is Origin.STORAGE:
        from executor.sources import remote

        return {one.address: one.version for one in remote.listed(sources_of(dataset))}
    if not commit:
        repository, revision = sources_of(dataset)[0], dataset.revision or "main"
        resolved = hub.resolve(repository, revision, hub.DATASET)
        commit = hub.cached_commit(repository, revision) if isinstance(resolved, Diagnostic) else resolved
        if isinstance(resolved, Diagnostic) and not commit:
            raise ProblemError(resolved)
    return {COMMIT: commit}


def located(dataset: Dataset, recipe_folder: Path, content: Mapping[str, str]) -> Path:
    """The folder below which a dataset's files lie; raises ProblemError if they were not fetched to this machine."""
    if origin_of(dataset, recipe_folder) is Origin.LOCAL:
        return recipe_folder
    if COMMIT in content:
        return hub.snapshot(sources_of(dataset)[0], content[COMMIT], hub.DATASET)
    from executor.sources import remote

    folder = remote.folder_for(content)
    if not folder.is_dir():
        detail = f"`{', '.join(sources_of(dataset))}` was not fetched to this machine, or the cache was emptied."
        raise problem("Dataset not here", detail, "Apply on the machine that fetched it, or remove its record.")
    return folder


def present(dataset: Dataset, content: Mapping[str, str]) -> Path | None:
    """The folder with what is fetched, if it is here already."""
    try:
        return located(dataset, Path("/nowhere"), content)
    except (ImportError, ProblemError):
        return None


def fetch(dataset: Dataset, content: Mapping[str, str]) -> Path:
    """Download what is not here yet; the folder of it."""
    if COMMIT not in content:
        from executor.sources import remote

        return remote.fetch([remote.Object(address, version) for address, version in content.items()])
    slices = splits.parse(dataset.split) if dataset.split else (splits.Slice(splits.TRAIN),)

    source = sources_of(dataset)[0]

    def choose(card: Path, names: Sequence[str]) -> list[str]:
        chosen = [hub_folder.files_of(names, card, dataset.name, one.split) for one in slices]
        for one, found in zip(slices, chosen, strict=True):
            if not found:
                raise splits.unknown(source, one.split, hub_folder.splits_of(names, card, dataset.name))
        return [name for found in chosen for name in found]

    return hub.fetch_dataset(source, content[COMMIT], choose)
