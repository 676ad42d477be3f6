"""Libraries that a training needs because of what its recipe says, beside those that every training takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from executor.training.optimizers import OPTIMIZERS
from executor.training.trackers import LIBRARIES
from state.diagnostic import Diagnostic
from state.values import frozen

EXTRA = "'tuneform[train]'"
_DISTRIBUTIONS = {
    "bitsandbytes": EXTRA,
    "deepspeed": EXTRA,
    "flash_attn": "'tuneform[flash-attn]'",
    "flash_attn_interface": "flash-attn-3",
    "galore_torch": "galore-torch",
    "apollo_torch": "apollo-torch",
    "optimi": "torch-optimi",
    "liger_kernel": "liger-kernel",
}
"""What pip calls those modules that are not called like their distribution, or that come with an extra of ours."""
_ATTENTION = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
MODULES = frozenset(
    {
        *_DISTRIBUTIONS,
        "vllm",
        *(module for optimizer in OPTIMIZERS.values() for module in optimizer.modules),
        *(module for modules in LIBRARIES.values() for module in modules),
    }
)
"""All that any recipe may ask for."""


@frozen
class Needed:
    """A library, and what of the recipe asks for it."""

    asking: str
    """As it would be written: `optimizer = "adamw_8bit"`."""
    modules: tuple[str, ...]
    """What is imported; one of them is enough."""
    instead: str
    """How to do without it."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.modules[0].replace("_", "-")

    @property
    def is_here(self) -> bool:
        """Whether it is installed; nothing is imported."""
        return any(find_spec(one) is not None for one in self.modules)

    @property
    def lack(self) -> str:
        """What is wrong without it, but for the address."""
        return f"{self.asking} needs {self.name}, which is not installed"

    @property
    def hint(self) -> str:
        """What to do about it."""
        package = _DISTRIBUTIONS.get(self.modules[0], self.modules[0])
        return f"Install it with `pip install {package}`, or {self.instead}."


def lacking(address: str, settings: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """What a training needs and this machine does not have."""
    for one in needed(settings):
        if not one.is_here:
            yield Diagnostic("Missing library", f"{address}.{one.lack}.", one.hint)


def needed(settings: Mapping[str, Any]) -> Iterator[Needed]:
    """The libraries that the settings of a training ask for, each once."""
    yield from _strategy(settings)
    yield from _few_bits(settings)
    optimizer = settings["optimizer"]
    for module in OPTIMIZERS[optimizer].modules:
        yield Needed(_written("optimizer", optimizer), (module,), 'use "adamw_torch"')
    attention = settings["attn_implementation"]
    if attention in _ATTENTION:
        yield Needed(_written("attn_implementation", attention), (_ATTENTION[attention],), 'use "auto" or "sdpa"')
    for name, module in (("use_liger_kernel", "liger_kernel"), ("use_vllm", "vllm")):
        if settings.get(name):
            yield Needed(_written(name, value=True), (module,), "remove it")
    for tracker in settings["logging"]["report_to"]:
        yield Needed(f'logging.report_to = ["{tracker}"]', LIBRARIES[tracker], "take it out")


def _strategy(settings: Mapping[str, Any]) -> Iterator[Needed]:
    strategy = settings["distributed"]["strategy"]
    if strategy == "deepspeed":
        yield Needed(_written("distributed.strategy", strategy), ("deepspeed",), "use another strategy")


def _few_bits(settings: Mapping[str, Any]) -> Iterator[Needed]:
    """Whatever holds the weights of the base in few bits is bitsandbytes."""
    module = ("bitsandbytes",)
    adapter = settings["adapter"]
    if adapter is not None and adapter["type"] == "qlora":
        yield Needed(_written("adapter.type", "qlora"), module, 'use "lora"')
        return
    for name in ("load_in_4bit", "load_in_8bit"):
        if settings[name]:
            yield Needed(_written(name, value=True), module, "remove it")


def _written(path: str, value: object) -> str:
    return f"{path} = {json.dumps(value)}"
