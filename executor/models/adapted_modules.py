"""Whether all that an adapter's table names is there: PEFT passes over what it does not find, with a warning at most.

A name that is written wrong beside a right one would leave modules as they are, and nobody would know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.models.lineage import root_model
from executor.models.lora import ADAPTER, goes_by, last_name
from planner.structure import settings_of
from state.diagnostic import Diagnostic, ProblemError
from state.wording import suggestion

if TYPE_CHECKING:
    from executor.applying.probe import Surroundings
    from planner.kind import Resource

SUMMARY = "Nothing of that name"
BY_NAME = ("target_modules", "exclude_modules", "modules_to_save")
PATTERNS = ("rank_pattern", "alpha_pattern")
PARAMETER = "parameter_name"
"""What PEFT's layer around a single parameter says of it."""
LAYERS = "layers_to_transform"
_FUSED = ("experts", "router")
"""Where transformers gives modules other names than files have."""
_OUTPUT = ("lm_head", "score")
"""Modules that files may lack: a head that shares the embedding's matrix, and one that is new."""
_SHOWN = 12


def prove(model: Any, adapter: Mapping[str, Any] | None) -> None:  # noqa: ANN401  PEFT has no types
    """Raise ProblemError for whatever a `[train.NAME.adapter]` table names and a model with the adapter lacks."""
    if adapter is None:
        return
    from peft.tuners.lora import LoraLayer

    modules = dict(model.get_base_model().named_modules())
    adapted = {name: module for name, module in modules.items() if isinstance(module, LoraLayer)}
    # A module with adapters on several parameters holds itself as a layer of its own.
    held = [(name.replace(".base_layer", ""), getattr(module, PARAMETER, "")) for name, module in adapted.items()]
    parameters = [f"{name}.{parameter}" for name, parameter in held if parameter]
    found = {field: list(modules) for field in BY_NAME} | {
        "target_modules": list(adapted),
        "target_parameters": parameters,
    }
    left = _as_peft_has_them(adapter, model.peft_config[ADAPTER])
    absent = [(field, one) for field, names in found.items() for one in _absent(left[field], names)]
    changed = [*adapted, *parameters]
    absent += [(field, one) for field in PATTERNS for one in adapter[field] if not any(_fits(one, n) for n in changed)]
    numbers = {part for name in adapted for part in name.split(".") if part.isdecimal()}
    absent += [(LAYERS, str(one)) for one in adapter[LAYERS] if str(one) not in numbers]
    if absent:
        raise ProblemError(Diagnostic(SUMMARY, _told(*one), _hint(*one, modules, adapted)) for one in absent)


def _as_peft_has_them(adapter: Mapping[str, Any], config: Any) -> Mapping[str, Any]:  # noqa: ANN401  PEFT's
    """The table without names of files that PEFT has put names of parameters for, as in mixtures of experts."""
    named = adapter["target_modules"]
    kept = named if isinstance(named, str) else [one for one in named if one in config.target_modules]
    return {**adapter, "target_modules": kept}


def _hint(field: str, name: str, modules: Mapping[str, Any], adapted: Mapping[str, Any]) -> str:
    if field in (LAYERS, *PATTERNS):
        return f"Adapters are on {', '.join(list(adapted)[:_SHOWN])}{' and others' * (len(adapted) > _SHOWN)}."
    holding = [one for one, module in modules.items() if any(True for _ in module.parameters(recurse=False))]
    return hint(name, [*adapted, *(one for one in holding if not any(one.startswith(f"{it}.") for it in adapted))])


def name_faults(resource: Resource, surroundings: Surroundings) -> Iterator[tuple[str, str, str]]:
    """What the table of a run names and the files of its base lack, where these are here and tell its modules.

    A run that is finished has proved it, and no file is opened again.
    """
    stage, record = resource.specification, surroundings.record(resource)
    named = {} if stage.adapter is None else {field: getattr(stage.adapter, field) for field in BY_NAME}
    if stage.judges or not any(isinstance(one, tuple) and one for one in named.values()):
        return
    if record is not None and record.output_digest and record.settings["adapter"] == settings_of(stage)["adapter"]:
        return
    root = root_model(stage.model, surroundings.resources)
    modules = _modules_of(surroundings.resources[root].specification, surroundings.folder)
    for field, names in named.items() if modules else ():
        for name in names if isinstance(names, tuple) else ():
            if name not in _OUTPUT and _absent([last_name(name)], modules):
                yield f"adapter.{field}", f"no module of {root} is called `{name}`", hint(name, modules)


def _modules_of(model: Any, folder: Path) -> list[str]:  # noqa: ANN401  a Model
    """The modules of a model that is a folder here; none where files call some of them otherwise than transformers."""
    from executor.models.tensor_files import read_headers

    try:
        found = [] if model.config else [name.rpartition(".")[0] for name in read_headers(folder / model.source)]
    except (ProblemError, OSError):  # told where the weights are digested
        return []
    fused = any(part.startswith(_FUSED) for name in found for part in name.split("."))
    return [] if fused else found


def hint(name: str, modules: Collection[str]) -> str:
    """What may have been meant."""
    known = sorted(set(map(last_name, modules)))
    return suggestion(name, known) or f"There are {', '.join(known[:_SHOWN])}{' and others' * (len(known) > _SHOWN)}."


def _told(field: str, name: str) -> str:
    if field == LAYERS:
        return f"No module with an adapter lies in a layer {name}, which `adapter.{field}` names."
    if field in PATTERNS:
        return f"No module with an adapter fits `{name}` of `adapter.{field}`."
    what = {"target_modules": "module that can have an adapter", "target_parameters": "parameter"}.get(field, "module")
    return f"No {what} is called `{name}`, which `adapter.{field}` names."


def _absent(named: Collection[str] | str, modules: Collection[str]) -> list[str]:
    """Those that are the end of no module's name; "all-linear" is no name."""
    ends = [] if isinstance(named, str) else named
    return [one for one in ends if not any(goes_by(name, one) for name in modules)]


def _fits(pattern: str, module: str) -> bool:
    """As PEFT matches a key of a pattern (`peft.utils.other.get_pattern_key`)."""
    return re.match(rf"(.*\.)?({pattern})$", module) is not None
