"""`[export.NAME]`: a model taken out of the house, with its papers, to a folder, an object store or the hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from executor.applying.probe import Surroundings
from executor.kinds.tokens import KIND as TOKENS
from executor.kinds.tokens import Tokens
from executor.models.lineage import is_adapter, model_sources, root_model
from executor.workers.software import versions
from planner.effects import Effect, reference, setting
from planner.kind import Kind, Probe, Resource, Resources, Source
from planner.limits import not_empty, positive, tags
from state.canonical import Plain, digest_bytes
from state.diagnostic import Diagnostic, ProblemError
from state.values import frozen

if TYPE_CHECKING:
    from executor.publishing.destinations import Destination
    from executor.workers.task import Outcome, Task
    from executor.workers.worker_reports import Reporter

CODE = 1
_OTHER_FILES = "other files are written"
Quantization: TypeAlias = Literal[
    "none",
    "bnb-4bit",
    "bnb-8bit",
    "gguf-F16",
    "gguf-BF16",
    "gguf-Q8_0",
    "gguf-Q6_K",
    "gguf-Q5_K_M",
    "gguf-Q4_K_M",
    "awq-4bit",
    "gptq-4bit",
    "gptq-8bit",
]
UNTOUCHED = digest_bytes(b"")
"""Stands for a folder in which nothing was found missing."""


@frozen
class Export:
    """The fields of an export."""

    model: str = reference("model", "train", "merge")
    to: str = setting(effect=Effect.REBUILD, why="it is another place", validator=not_empty)
    """A folder relative to the recipe; `s3://`, `gs://` or `az://`; or `hub:organisation/name`."""
    requires: tuple[str, ...] = reference("eval", default=())
    """Evaluations that must have passed their gates."""
    private: bool = setting(default=True, effect=Effect.RUNTIME, why="a repository that exists stays as it is")
    """Whether a repository on the hub is created private."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto", effect=Effect.REBUILD, why=_OTHER_FILES)
    """ "auto": the one that the weights are stored in."""
    quantization: Quantization = setting("none", effect=Effect.REBUILD, why=_OTHER_FILES)
    """Fewer bits: by bitsandbytes, or by llama.cpp's programs or llm-compressor, which you have to install."""
    calibration: tuple[str, ...] = reference("dataset", default=())
    """For AWQ and GPTQ: the rows from which they see what matters."""
    calibration_rows: int = setting(256, effect=Effect.REBUILD, why=_OTHER_FILES, validator=positive)
    """The first so many of these."""
    sequence_len: int = setting(2048, effect=Effect.UPSTREAM, why="it decides the tokens", validator=positive)
    """Tokens of a row of `calibration`; longer ones are cut."""
    max_shard_size: str = setting("auto", effect=Effect.REBUILD, why=_OTHER_FILES)
    """The largest weight file, such as "5GB"; "auto": the files stay as they are."""
    license: str = setting("", effect=Effect.REBUILD, why="the model card names it")
    """An identifier such as "apache-2.0"; if left out, what the base's own model card says."""
    description: str = setting("", effect=Effect.METADATA, why="it is a note")
    tags: tuple[str, ...] = setting((), effect=Effect.METADATA, why="they are notes", validator=tags)
    """What to find it by, with `tune state list --tag`; a model's card and a bill of materials have them, too."""


def check(resource: Resource, resources: Resources) -> tuple[Diagnostic, ...]:
    """What is wrong with the fields."""
    return tuple(_faults(resource, resources))


def _faults(resource: Resource, resources: Resources) -> Iterator[Diagnostic]:
    export: Export = resource.specification
    exports = [one for one in resources.values() if one.kind.name == "export" and one.specification.to == export.to]
    if exports[0].address != resource.address:
        detail = (
            f"{resource.address}.to: {exports[0].address} goes to `{export.to}` too, and one would replace the other."
        )
        yield Diagnostic("Two exports to one place", detail, "Give each a place of its own.", resource.place("to"))
    from executor.models.shards import AS_IT_IS, SIZE
    from executor.publishing.destinations import destination

    try:
        destination(export.to, Path(), private=export.private)
    except ProblemError as error:
        for one in error.diagnostics:
            yield Diagnostic(one.summary, f"{resource.address}.to: {one.detail}", one.hint, resource.place("to"))
    yield from _quantization_faults(resource, resources)
    if export.max_shard_size != AS_IT_IS and not SIZE.fullmatch(export.max_shard_size):
        detail = f"{resource.address}.max_shard_size: expected a size, got {export.max_shard_size!r}."
        yield Diagnostic("Invalid value", detail, 'For instance "5GB" or "500MB".', resource.place("max_shard_size"))


def _quantization_faults(resource: Resource, resources: Resources) -> Iterator[Diagnostic]:
    """An adapter has no weights of its own to quantise; and what quantises decides the rest of the bits."""
    export: Export = resource.specification
    yield from _calibration_faults(resource)
    if export.quantization == "none":
        return
    path, place = f"{resource.address}.quantization", resource.place("quantization")
    if is_adapter(resources[export.model]):
        detail = f"{path}: {export.model} is an adapter, whose base is not part of the export."
        yield Diagnostic("Contradicting fields", detail, f"Merge {export.model}, and export the merge.", place)
    if export.dtype != "auto":
        detail = f"{path}: `dtype` has no meaning for weights that are {export.quantization}."
        yield Diagnostic("Contradicting fields", detail, "Remove `dtype`.", resource.place("dtype"))
    if export.quantization.startswith("gguf") and export.max_shard_size != "auto":
        detail = f"{path}: a GGUF file is written in one piece, and `max_shard_size` is set."
        yield Diagnostic("Contradicting fields", detail, "Remove it.", resource.place("max_shard_size"))


def _calibration_faults(resource: Resource) -> Iterator[Diagnostic]:
    export: Export = resource.specification
    path, place = f"{resource.address}.calibration", resource.place("calibration")
    if _is_calibrated(export.quantization) and not export.calibration:
        detail = f"{path}: {export.quantization} looks at rows to see what matters, and there are none."
        yield Diagnostic("Contradicting fields", detail, "Name a dataset, such as the one it was trained on.", place)
    if export.calibration and not _is_calibrated(export.quantization):
        detail = f"{path}: it has no meaning for {export.quantization}."
        yield Diagnostic("Contradicting fields", detail, "It is for AWQ and GPTQ.", place)


def _is_calibrated(quantization: str) -> bool:
    return quantization.startswith(("awq", "gptq"))


def derive(resource: Resource, resources: Resources) -> tuple[Resource, ...]:
    """The tokens that a quantisation looks at, if it does."""
    export: Export = resource.specification
    if not export.calibration:
        return ()
    tokens = Tokens(
        datasets=export.calibration,
        model=root_model(export.model, resources),
        sequence_len=export.sequence_len,
        excess_length_strategy="truncate",
        roles_to_train=("assistant",),
    )
    return (Resource(_tokens_of(resource), TOKENS, tokens, resource.places, resource.address),)


def _tokens_of(resource: Resource) -> str:
    return f"tokens.export.{resource.name}"


def lacks(_: str, settings: Mapping[str, Plain]) -> tuple[Diagnostic, ...]:
    """The programs that quantise, where they are not installed."""
    from executor.publishing.calibrated_weights import check_compressor
    from executor.publishing.quantized_weights import check_tools

    quantization = str(settings["quantization"])
    try:
        check_compressor() if _is_calibrated(quantization) else check_tools(quantization)
    except ProblemError as error:
        return tuple(error.diagnostics)
    return ()


def inputs(resource: Resource, resources: Resources) -> Mapping[str, tuple[Source, ...]]:
    """The model, the tokenizer and template to deliver with it, and what has to be good enough before."""
    export: Export = resource.specification
    root = root_model(export.model, resources)
    return {
        "model": model_sources(export.model, resources),
        "tokenizer": (Source(root, "tokenizer"), Source(root, "chat_template")),
        "requires": tuple(Source(one) for one in export.requires),
        **({"calibration": (Source(_tokens_of(resource)),)} if export.calibration else {}),
    }


def probe(resource: Resource, surroundings: Surroundings) -> Probe:
    """Whether a folder that was exported to still holds the export; what is further away is taken at its word.

    What was found stays part of the identity: after a loss it is another export, and from then on again the same.
    """
    from executor.publishing.destinations import FolderDestination, destination
    from executor.publishing.publication import is_whole

    export: Export = resource.specification
    place = destination(export.to, surroundings.folder, private=export.private)
    if not isinstance(place, FolderDestination):
        return Probe()
    record = surroundings.record(resource)
    before = record.content.get(export.to, UNTOUCHED) if record is not None else UNTOUCHED
    known = record is not None and record.output_digest and export.to in record.content
    if record is None or not known or not surroundings.made_here(resource):
        return Probe({export.to: before}, diagnostics=_occupied(resource, place) if record is None else ())
    return Probe({export.to: before if is_whole(place.path, record) else record.action_key})


def _occupied(resource: Resource, place: Destination) -> tuple[Diagnostic, ...]:
    """Why nothing could be exported to a place, found before anything else is made."""
    try:
        place.check()
    except ProblemError as error:
        return tuple(one.at(resource.place("to")) for one in error.diagnostics)
    return ()


def build(task: Task, reporter: Reporter) -> Outcome:
    """Write everything into a folder of our own, then take it where it belongs, unless it is there already."""
    from executor.publishing.destinations import destination
    from executor.publishing.publication import write
    from executor.workers.task import Outcome

    name, private = str(task.settings["to"]), bool(task.settings["private"])
    place = destination(name, Path(task.recipe_folder), private=private)
    place.check()
    reporter.message("writing model and papers")
    sums = write(task, task.output_folder)
    if not place.deliver(task.output_folder, reporter):
        reporter.message(f"{name} holds it already")
    size = sum(path.stat().st_size for path in task.output_folder.rglob("*") if path.is_file())
    shutil.rmtree(task.output_folder)
    return Outcome(digest_bytes(sums), facts={"bytes": size}, versions=versions(), has_artifact=False)


KIND = Kind(
    name="export",
    specifications={"": Export},
    code=CODE,
    verb="re-export",
    inputs=inputs,
    check=check,
    probe=probe,
    derive=derive,
    lacks=lacks,
    publishes=True,
    build=build,
)
