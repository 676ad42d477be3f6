"""A recipe opened: its text, its kinds, its state, and the plan that follows from them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from executor import kinds as kind_folder
from executor.applying.local import this_machine
from executor.applying.probe import desire, examine
from planner.composition import compose
from planner.desired import Desired
from planner.kind import Kinds
from planner.overrides import Overrides, with_settings
from planner.plan import Plan, Selection
from planner.reason import Imported
from planner.recipe import BrokenRecipeError, Recipe, assemble, read_state_table
from planner.recipe_plan import make_plan, resolved
from planner.renaming import renamed
from planner.state_table import StateTable
from planner.variables import with_variables
from planner.written import YAML_SUFFIXES, Written
from state.backend import Backend
from state.diagnostic import Diagnostic, ProblemError, Severity, problem
from state.files import FileDigests
from state.folder_backend import FolderBackend
from state.journal import current_state
from state.layout import Layout
from state.record import State
from state.store import Store
from state.values import frozen
from tune import __version__
from tune.overriding import from_environment

if TYPE_CHECKING:
    from executor.applying.drift import Bytes
    from state.shared_store import SharedStore

WHOLE = Selection()
DEFAULTS = tuple(f"recipe{suffix}" for suffix in (".toml", *YAML_SUFFIXES))


@frozen
class Project:
    """A recipe file and what belongs to it."""

    file: Path
    kinds: Kinds
    overrides: Overrides

    @functools.cached_property
    def written(self) -> Written:
        """The recipe with all that it extends and all that is set from outside; variables still stand in it."""
        return with_settings(compose(self.file.name, self._text), self.overrides.settings)

    def _text(self, name: str) -> str:
        """What a file says, by its path from the recipe's folder."""
        try:
            return (self.file.parent / name).read_text(encoding="utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise problem("Not UTF-8", f"`{name}` is not UTF-8.", "Save it as UTF-8.") from None

    @property
    def layout(self) -> Layout:
        """Its `.tune/` folder, on this machine."""
        return Layout(self.file.parent)

    @functools.cached_property
    def where(self) -> StateTable:
        """Where the recipe says that its state lies."""
        return read_state_table(self.written, self.overrides)

    @functools.cached_property
    def backend(self) -> Backend:
        """Where its state lies."""
        if not self.where.url:
            return FolderBackend(self.layout.root, ".tune")
        return self._open(self.where.url)

    @functools.cached_property
    def store(self) -> Store:
        """Its state file."""
        return Store(self.backend, __version__)

    @functools.cached_property
    def shared(self) -> SharedStore | None:
        """Where artifacts are shared, if anywhere."""
        if not self.where.artifacts and not self.where.url:
            return None
        from state.shared_store import SharedStore

        lineage = self.store.load().lineage
        if self.where.artifacts:
            return SharedStore(self._open(self.where.artifacts), lineage)
        return SharedStore(self.backend, lineage)

    def _open(self, url: str) -> Backend:
        from state.locations import open_backend

        return open_backend(url, self.file.parent, self.where.endpoint, self.where.region)

    def recipe(self) -> Recipe:
        """The recipe, structured; raises ProblemError with everything that is wrong with it."""
        return assemble(with_variables(self.written, self.overrides), self.kinds)

    def state(self) -> State:
        """What exists, the work of a killed run included; what keeps it from being read has a place in the recipe."""
        try:
            return current_state(self.store)
        except ProblemError as error:
            if not self.where.url:
                raise
            raise ProblemError(one.at(self.written.place("state.url")) for one in error.diagnostics) from None

    def state_to_plan_from(self) -> State:
        """What exists; where it cannot be read, all that is wrong with the recipe is told, too."""
        try:
            return self.state()
        except ProblemError as error:
            try:
                self.recipe()
            except ProblemError as broken:
                raise ProblemError(dict.fromkeys((*broken.diagnostics, *error.diagnostics))) from None
            raise

    def desired(
        self, state: State, *, strict: bool = False, selection: Selection = WHOLE
    ) -> tuple[Recipe, Mapping[str, Desired], list[Diagnostic]]:
        """The recipe's resources as they should be; `strict` turns assumptions into errors."""
        try:
            recipe = self.recipe()
        except BrokenRecipeError as error:
            outside = examine(error.sound, self.file.parent, self.digests, state)
            raise ProblemError((*error.diagnostics, *outside)) from None
        known = renamed(recipe, state).state
        found, diagnostics = desire(recipe, self.file.parent, self.digests, known)
        assumptions = [one for one in diagnostics if one.summary == "Assumption"]
        if strict and assumptions:
            raise ProblemError([evolve(one, severity=Severity.ERROR) for one in assumptions])
        found, notes = resolved(recipe, found, known, selection)
        return recipe, {one.address: one for one in found}, [*diagnostics, *notes]

    @functools.cached_property
    def digests(self) -> FileDigests:
        """Those of files that were read, by this command or an earlier one."""
        return FileDigests(self.layout.file_digests)

    @functools.cached_property
    def content(self) -> Bytes:
        """What this machine has of artifacts, byte by byte."""
        from executor.applying.drift import Bytes

        return Bytes(self.layout)

    def plan(
        self, *, strict: bool = False, verify: bool = False, selection: Selection = WHOLE
    ) -> tuple[Plan, Mapping[str, Desired]]:
        """What has to be done so that the models match the recipe, or the part of it that is selected.

        `verify` reads every byte of the artifacts, and asks the hub whether revisions have moved.
        """
        state = self.state_to_plan_from()
        recipe, desired, diagnostics = self.desired(state, strict=strict, selection=selection)
        local = this_machine(self.layout, self.shared, self.content if verify else None)
        known = renamed(recipe, state)
        made = make_plan(recipe, tuple(desired.values()), known, selection, self.kinds, local)
        self._check_imports(made, recipe, desired, known.state)
        if verify:
            from executor.applying.drift import moved_revisions

            diagnostics += [*self.content.notes(), *moved_revisions(recipe, known.state)]
        given = self.overrides.without_environment(self.written)
        return evolve(made, diagnostics=(*diagnostics, *made.diagnostics), overrides=given), desired

    def _check_imports(self, plan: Plan, recipe: Recipe, desired: Mapping[str, Desired], state: State) -> None:
        """What the plan is about to import must fit: found now, not after hours of work on other steps."""
        due = {step.address for step in plan.steps if any(isinstance(one, Imported) for one in step.reasons)}
        if due:
            from executor.applying.importing import Surroundings, check_planned
            from executor.applying.provenance import origin

            planned = [one for one in recipe.refactoring.imports if one.address in due]
            check_planned(planned, desired, state, Surroundings(self.kinds, self.layout, origin(self.file, "")))


def open_project(recipe: str, overrides: Overrides | None = None) -> Project:
    """The project of a recipe file, or of a folder that holds one; without overrides, the environment may give some."""
    path = Path(recipe)
    file = _default(path) if path.is_dir() else path
    if not file.is_file():
        detail = f"There is no `{file}`."
        hint = "Name a recipe file, or a folder with a recipe.toml in it."
        raise problem("Missing recipe", detail, hint)
    return Project(file.resolve(), kind_folder.load(), from_environment() if overrides is None else overrides)


def _default(folder: Path) -> Path:
    """The recipe of a folder."""
    found = [folder / name for name in DEFAULTS if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(f"`{one.name}`" for one in found)
        raise problem("Several recipes", f"`{folder}` holds {names}.", "Name the one that is meant.")
    return found[0] if found else folder / DEFAULTS[0]
