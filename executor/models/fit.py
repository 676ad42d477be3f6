"""Whether a folder of weights can be what a resource would have produced, from its configuration and its headers.

What is compared are the recipe's own settings and the shapes of the base; what neither decides is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from executor.merging.lora_merge import CONV1D_MODELS, DTYPES
from executor.models.adapter_fields import ALL_LINEAR, EMBEDDINGS, HEADS
from executor.models.lora import FUSED, goes_by
from executor.models.peft_adapter import CONFIG_FILE, Adapter, Change, read_adapter
from executor.models.tensor_files import TensorEntry, parameter_count, read_headers
from state.canonical import Plain
from state.diagnostic import ProblemError, problem

MOST_NAMED = 3
"""Tensors or modules that one sentence names; the rest is counted."""
ARCHITECTURE = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)
PEFT_RANK = 8
PATTERNS = ("rank_pattern", "alpha_pattern")
BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""Ends of the names of tensors that older releases of transformers stored although nothing is learned in them."""
ROUTERS = ("gate", "router")
"""Matrices in the layers of mixtures of experts that PEFT's "all-linear" may or may not mean."""

NEVER_LINEAR = (*EMBEDDINGS, "wpe", "embed_positions", *HEADS)
"""Matrices outside of layers, which PEFT's "all-linear" does not mean."""

Entries = Mapping[str, TensorEntry]


def misfits(folder: Path, settings: Mapping[str, Any], base: Path | None) -> Iterator[str]:
    """Why the folder cannot be the result of these settings on this base, in sentences.

    `base` holds the whole weights below it, None if they are not here.
    """
    is_adapter = (folder / CONFIG_FILE).is_file()
    adapter = settings.get("adapter")
    wanted = adapter if isinstance(adapter, Mapping) else None
    if is_adapter and wanted is None:
        yield "it is an adapter, and the recipe asks for a whole model"
    elif not is_adapter and wanted is not None:
        yield "it is a whole model, and the recipe asks for an adapter"
    elif wanted is not None:
        yield from _adapter_misfits(folder, wanted, base)
    else:
        yield from _model_misfits(folder, settings, base)


def facts(folder: Path, base: Path | None) -> dict[str, Plain]:
    """What a training would have found out: parameters, and for an adapter its rank and its modules.

    `base` holds the whole weights below it, None if they are not here.
    """
    count = parameter_count(folder)
    if not (folder / CONFIG_FILE).is_file():
        return {"parameters": count}
    below = entries(base) if base is not None else {}
    config = read_configuration(base / "config.json") if base is not None else {}
    changes = read_adapter(folder, below, conv1d=config.get("model_type") in CONV1D_MODELS).changes
    changed = {name for name, change in changes.items() if change.down}
    modules: list[Plain] = [*sorted({_leaf(name) for name in changed})]
    rank = read_configuration(folder / CONFIG_FILE).get("r", PEFT_RANK)
    known = {ALL_LINEAR: modules} if config and _are_all_linear(changed, below, str(config.get("model_type"))) else {}
    return {"trainable_parameters": count, "r": rank, "target_modules": modules, **known}


def _are_all_linear(changed: set[str], below: Entries, model_type: str) -> bool:
    """Whether some matrices of a base are what "all-linear" means there, and all that go by the names of their modules.

    Files do not say what a matrix is used for: where there are any that may be no module's, nothing is known.
    """
    names = {_leaf(name) for name in changed}
    doubtful = {name for name in below if not {"experts", *ROUTERS}.isdisjoint(name.split("."))}
    weights = {name for name in below if name.endswith(".weight")}
    matrices = {name for name in weights if len(below[name].shape) == 2 and _leaf(name) not in NEVER_LINEAR}  # noqa: PLR2004
    called_so = {name for name in weights if _leaf(name) in names}
    return bool(changed) and not doubtful and model_type not in FUSED and changed == matrices == called_so


def entries(folder: Path) -> dict[str, TensorEntry]:
    """Every tensor of a folder by name."""
    return {name: entry for name, (_, entry) in read_headers(folder).items()}


def read_configuration(path: Path) -> dict[str, Any]:
    """A configuration in JSON; raises ProblemError if it cannot be read."""
    try:
        loaded = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise problem("Damaged model", f"`{path}` cannot be read: {error}.") from None
    if not isinstance(loaded, dict):
        raise problem("Damaged model", f"`{path}` is not a JSON object.")
    return loaded


def _adapter_misfits(folder: Path, wanted: Mapping[str, Any], base: Path | None) -> Iterator[str]:
    """An adapter against its table in the recipe; the names and defaults are those of PEFT's LoraConfig."""
    found = read_configuration(folder / CONFIG_FILE)
    expected = {
        "peft_type": ("", "LORA"),
        "use_dora": (False, wanted["type"] == "dora"),
        "use_rslora": (False, wanted["use_rslora"]),
        "r": (PEFT_RANK, wanted["r"]),
        "lora_alpha": (8, wanted["lora_alpha"]),
        "lora_dropout": (0.0, wanted["lora_dropout"]),
    }
    for name, (default, value) in expected.items():
        if found.get(name, default) != value:
            yield f"{name} is {_said(found.get(name, default))}, and the recipe says {_said(value)}"
    yield from (f"it has a {name}, and the recipe has none" for name in PATTERNS if found.get(name))
    saved, asked = set(found.get("modules_to_save") or ()), set(wanted["modules_to_save"])
    if saved != asked:
        yield f"modules_to_save is {_listed(saved)}, and the recipe says {_listed(asked)}"
    yield from _tensor_misfits(folder, wanted, base)


def _tensor_misfits(folder: Path, wanted: Mapping[str, Any], base: Path | None) -> Iterator[str]:
    config = read_configuration(base / "config.json") if base is not None else {}
    below = entries(base) if base is not None else {}
    try:
        adapter = read_adapter(folder, below, conv1d=config.get("model_type") in CONV1D_MODELS)
    except ProblemError as error:
        yield from (one.detail.removesuffix(".") for one in error.diagnostics)
        return
    except (LookupError, TypeError, ArithmeticError):
        yield "its configuration and its tensors are not those of a LoRA adapter"
        return
    factors = {key for one in adapter.changes.values() for key in (one.down, one.up) if key}
    flat = {key for key in factors if len(adapter.tensors[key].shape) != 2}  # noqa: PLR2004  matrices
    if flat:
        yield f"{_listed(flat)} is no matrix"
        return
    yield from _module_misfits(adapter, wanted, below)
    yield from _shape_misfits(adapter, below) if below else ()


def _module_misfits(adapter: Adapter, wanted: Mapping[str, Any], below: Entries) -> Iterator[str]:
    changed = {name.rpartition(".")[0]: one for name, one in adapter.changes.items() if one.down}
    if not changed:
        yield "it holds no low-rank matrices"
    ranks = {adapter.tensors[one.down].shape[0] for one in changed.values()} - {wanted["r"]}
    if ranks:
        yield f"its matrices have the rank {_listed(map(str, ranks))}, and the recipe says {wanted['r']}"
    target = wanted["target_modules"]
    if target == "all-linear":
        missing = _linear_modules(below) - {_leaf(f"{name}.weight") for name in changed}
    else:
        missing = {one for one in target if not any(goes_by(name, one) for name in changed)}
        more = {name for name in changed if not any(goes_by(name, one) for one in target)}
        if more:
            yield f"it changes {_listed(more)}, which the recipe's target_modules leave alone"
    if missing:
        yield f"it does not change {_listed(missing)}, which the recipe's target_modules name"


def _linear_modules(below: Entries) -> set[str]:
    """The names of the matrices inside a base's numbered layers."""
    matrices = (name for name, one in below.items() if len(one.shape) == 2 and name.endswith(".weight"))  # noqa: PLR2004
    parts = (name.split(".") for name in matrices)
    # Experts are one tensor each to transformers 5, which PEFT does not count as linear, whatever the files hold.
    inside = (one for one in parts if any(part.isdecimal() for part in one) and "experts" not in one)
    return {one[-2] for one in inside} - set(ROUTERS)


def _shape_misfits(adapter: Adapter, below: Entries) -> Iterator[str]:
    unknown = {name for name in adapter.changes if name not in below and _leaf(name) not in HEADS}
    if unknown:
        yield f"it changes {_listed(unknown)}, which the base does not have"
    for name, change in adapter.changes.items():
        shape = _result_shape(adapter, change)
        if name in below and shape and shape != below[name].shape:
            yield f"its {name} has the shape {shape}, and that of the base {below[name].shape}"
            return  # where one does not fit, hardly any does


def _result_shape(adapter: Adapter, change: Change) -> tuple[int, ...]:
    """The shape that the changed tensor must have; () where the adapter does not say."""
    if change.whole:
        return adapter.tensors[change.whole].shape
    if not change.down:
        return ()
    shape = (adapter.tensors[change.up].shape[0], adapter.tensors[change.down].shape[1])
    return shape[::-1] if change.transposed else shape


def _model_misfits(folder: Path, settings: Mapping[str, Any], base: Path | None) -> Iterator[str]:
    config, own = read_configuration(folder / "config.json"), entries(folder)
    if "dtype" in settings:
        dtypes = {one.dtype for one in own.values() if len(one.shape) > 1}
        if dtypes != {DTYPES[settings["dtype"]]}:
            yield f"its matrices are {_listed(dtypes)}, and the recipe says {settings['dtype']}"
    if base is None:
        return
    expected = read_configuration(base / "config.json")
    for name in ARCHITECTURE:
        if name in config and name in expected and config[name] != expected[name]:
            yield f"{name} is {config[name]}, and that of the base is {expected[name]}"
    yield from _tensor_differences(own, entries(base))


def _tensor_differences(own: Entries, below: Entries) -> Iterator[str]:
    """What one of two whole models has and the other has not, but for what is up to whoever stores them."""
    own = {_known_as(name, below): entry for name, entry in own.items()}
    missing = {name for name in below.keys() - own.keys() if not _is_optional(name)}
    more = {name for name in own.keys() - below.keys() if not _is_optional(name)}
    other = {name for name in own.keys() & below.keys() if own[name].shape != below[name].shape}
    for names, what in (
        (missing, "it lacks {}, which the base has"),
        (more, "it has {}, which the base does not have"),
        (other, "the shape of {} is not that of the base"),
    ):
        if names:
            yield what.format(_listed(names))


def _known_as(name: str, below: Entries) -> str:
    """Bare backbones on the hub (GPT-2's) lack the first part of every name."""
    short = name.partition(".")[2]
    return short if name not in below and short in below else name


def _is_optional(name: str) -> bool:
    """Whether a tensor may be left out: it is tied to the embedding, or follows from the configuration."""
    return _leaf(name) in HEADS or name.endswith(BUFFERS)


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _leaf(name: str) -> str:
    """The module that a tensor belongs to, without the modules around it."""
    return name.split(".")[-2] if "." in name else name


def _listed(names: Iterable[str]) -> str:
    """The first names in order, the others counted."""
    ordered = sorted(names)
    more = len(ordered) - MOST_NAMED
    return ", ".join(ordered[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "") if ordered else "none"
