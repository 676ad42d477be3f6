"""A model or an adapter that was made elsewhere becomes the result of a resource, on the word of whoever imports it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from attrs import evolve

from executor.applying.local import this_machine
from executor.applying.provenance import Origin
from executor.applying.recording import Artifact, Recorder
from executor.kinds.model import delivered
from executor.models import fit, model_files
from executor.models.peft_adapter import CONFIG_FILE
from executor.models.tensor_files import INDEX_FILE, weight_files
from executor.tokens.tokenizer_files import FILES, has_tokenizer
from executor.workers.task import Input, Outcome, outcome_of, to_plain
from planner.desired import Desired, action_key
from planner.kind import Kinds
from planner.plan import Planning, Step
from planner.refactoring import Importation
from state import artifacts
from state.artifacts import Manifest
from state.change import put
from state.clock import now
from state.diagnostic import Diagnostic, ProblemError, problem
from state.durable import durable_copy
from state.layout import Layout
from state.record import Record, State, Status
from state.shared_trust import PICKLES
from state.values import frozen
from state.wording import suggestion
from state.writer import Writer

IMPORTABLE = ("train", "merge")


@frozen
class Surroundings:
    """The recipe and the place that something is imported into."""

    kinds: Kinds
    layout: Layout
    origin: Origin


@frozen
class Import:
    """A folder that fits, and all that is needed to record it; nothing was written yet."""

    source: Path
    recorder: Recorder
    layout: Layout
    tokenizer: Input | None
    """The model whose tokenizer and template travel with it; None where that is not here."""
    base: Path | None
    """The whole weights below it; None where they are not here."""

    @property
    def address(self) -> str:
        """What it is to be."""
        return self.recorder.desired.address

    def carry_out(self, writer: Writer) -> Record:
        """Copy it, make it exist, record it; killed on the way, it is as if nothing had happened."""
        started = now()
        digest = model_files.identity(self.source)
        kind, _, name = self.address.partition(".")
        # Named by its content: under its action key lies, or will lie, what a run of ours gives.
        folder = self.layout.artifact(kind, name, digest)
        manifest = artifacts.read(folder) or self._publish(folder, digest)
        outcome = outcome_of(manifest)
        begun = self.recorder.begun(None)
        doubted = {field: tuple(evolve(one, verified=False) for one in group) for field, group in begun.inputs.items()}
        artifact = Artifact(self.layout.relative(folder), manifest)
        record = self.recorder.finished(evolve(begun, inputs=doubted), outcome, artifact, started)
        # Nobody knows how long the work took: what the copy took would only mislead estimates.
        record = evolve(record, provenance=evolve(record.provenance, seconds=0.0))
        writer.save(put(writer.state, self.address, record), f"imported {self.source.name} as {self.address}")
        return record

    def _publish(self, folder: Path, digest: str) -> Manifest:
        artifacts.discard_incomplete(folder)
        try:
            for path in self._files():
                durable_copy(path, folder / path.name, lambda _: None)
            if self.tokenizer is not None:
                model_files.copy_tokenizer(*delivered(self.tokenizer, self.layout.recipe_folder), folder)
        except OSError as error:
            detail = f"`{error.filename or self.source}`: {error.strerror or error}."
            raise problem(
                "Cannot copy", detail, "Nothing was recorded. Make room or access, and import again."
            ) from None
        if model_files.identity(folder) != digest:
            detail = f"`{self.source}` changed while it was copied."
            raise problem("Import moved", detail, "Nothing was recorded. Import it again when nobody writes to it.")
        facts = {**fit.facts(folder, self.base), "imported_from": self.source.name}
        return artifacts.publish(folder, {"outcome": to_plain(Outcome(digest, facts=facts))})

    def _files(self) -> Iterator[Path]:
        """What a model needs of a folder; the tokenizer only if the recipe's own is not here."""
        yield from weight_files(self.source)
        names = (INDEX_FILE, *model_files.CONFIGURATIONS, *(FILES if self.tokenizer is None else ()))
        if (self.source / CONFIG_FILE).is_file():
            names = tuple(name for name in names if name not in (INDEX_FILE, "config.json", "generation_config.json"))
        yield from (self.source / name for name in names if (self.source / name).is_file())


def prepare(
    source: Path, address: str, desired: Mapping[str, Desired], state: State, surroundings: Surroundings
) -> Import:
    """Check that a folder can be what an address asks for; raises ProblemError with all that speaks against it."""
    _check_address(address, desired, state)
    _check_folder(source)
    wanted, layout = desired[address], surroundings.layout
    base = _locate(
        wanted.inputs.get("adapter", wanted.inputs.get("model", ()))[0].address, desired, state, surroundings
    )
    found = list(fit.misfits(source, wanted.settings, base))
    root = wanted.inputs.get("tokenizer", wanted.inputs.get("model", ()))[0].address
    tokenizer = _input(root, desired, _locate(root, desired, state, surroundings))
    if tokenizer is None and not (has_tokenizer(source) or (source / CONFIG_FILE).is_file()):
        found.append(f"it brings no tokenizer, and that of {root} is not here")
    if found:
        raise ProblemError(
            [Diagnostic("Does not fit", f"`{source.name}` cannot be {address}: {one}.") for one in found]
        )
    step = _step(address, desired, state, surroundings)
    digests = {name: tuple(one.digest or "" for one in group) for name, group in step.inputs.items()}
    key = action_key(wanted, digests)
    recorder = Recorder(surroundings.kinds[wanted.kind], wanted, step, key, surroundings.origin)
    return Import(source, recorder, layout, tokenizer, base)


def check_planned(
    planned: Sequence[Importation], desired: Mapping[str, Desired], state: State, surroundings: Surroundings
) -> None:
    """Check the folders that a plan is to import; raises ProblemError with the places in the recipe."""
    wrong: list[Diagnostic] = []
    for one in planned:
        try:
            prepare(surroundings.layout.recipe_folder / one.folder, one.address, desired, state, surroundings)
        except ProblemError as error:
            wrong += [evolve(found, place=one.place) for found in error.diagnostics]
    if wrong:
        raise ProblemError(wrong)


def _check_address(address: str, desired: Mapping[str, Desired], state: State) -> None:
    known = [one.address for one in desired.values() if one.kind in IMPORTABLE]
    if address not in known:
        hint = suggestion(address, known) or f"It has {', '.join(known) or 'none'}."
        detail = f"The recipe has no train or merge of the address `{address}`."
        raise problem("Unknown address", detail, hint)
    if address in state.records:
        hint = f"Forget it first: `tune state rm {address}`. Its artifact stays until it is collected."
        raise problem("Address in use", f"The state has a `{address}` already.", hint)


def _check_folder(source: Path) -> None:
    """Whether there are weights that can be read without running anything."""
    if not source.is_dir():
        raise problem("Not a folder", f"`{source}` is no folder.", "Name the folder that holds the weights.")
    names = sorted(path.name for path in source.iterdir())
    if not any(name.endswith(".safetensors") for name in names):
        pickled = [name for name in names if Path(name).suffix.lower() in PICKLES]
        if pickled:
            detail = f"`{source.name}` holds {', '.join(pickled)}: such files may run code when they are loaded."
            raise problem("Pickle refused", detail, "Save it again with `save_pretrained`, which writes safetensors.")
    whole = [name for name in ("model.safetensors", INDEX_FILE) if name in names]
    if CONFIG_FILE in names and whole:
        detail = f"`{source.name}` holds an adapter and {whole[0]}: which of them is meant?"
        raise problem("Ambiguous folder", detail, "Put the files of one of them into a folder of their own.")
    weight_files(source)


def _locate(address: str, desired: Mapping[str, Desired], state: State, surroundings: Surroundings) -> Path | None:
    """The folder of a model, if it is on this machine."""
    record, layout, wanted = state.records.get(address), surroundings.layout, desired[address]
    if record is not None and record.artifact:
        folder = layout.root / record.artifact
        return folder if artifacts.read(folder) is not None else None
    locate = surroundings.kinds[wanted.kind].locate
    if locate is None or (record is None and wanted.builds):
        return None
    try:
        folder = locate(record or _as_probed(wanted), layout.recipe_folder)
    except ProblemError:
        return None
    return folder if (folder / "config.json").is_file() else None


def _as_probed(wanted: Desired) -> Record:
    return Record(wanted.kind, wanted.settings, wanted.content, {}, wanted.code, "", Status.READY)


def _input(address: str, desired: Mapping[str, Desired], folder: Path | None) -> Input | None:
    """A model whose tokenizer is here, with or without its weights."""
    wanted = desired[address]
    if folder is None and not wanted.settings.get("tokenizer"):
        return None
    return Input(address, "", str(folder or ""), wanted.settings, wanted.facts)


def _step(address: str, desired: Mapping[str, Desired], state: State, surroundings: Surroundings) -> Step:
    """The resource's step, for what it tells of the inputs: their digests, as far as they are known now."""
    planning = Planning(state, surroundings.kinds, this_machine(surroundings.layout))
    steps = {}
    for one in desired.values():
        steps[one.address] = planning.step(one)
        if one.address == address:
            break
    return steps[address]
