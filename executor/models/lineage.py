"""What a model is made of: the whole weights it starts from and the adapters on top of them."""

from __future__ import annotations

from planner.kind import Resource, Resources, Source


def foundations(address: str, resources: Resources) -> tuple[str, ...]:
    """The addresses whose artifacts make up a model: one with whole weights, then adapters in the order of use."""
    resource = resources[address]
    if is_adapter(resource):
        return (*foundations(resource.specification.model, resources), address)
    return (address,)


def root_model(address: str, resources: Resources) -> str:
    """The `model` at the very beginning, whose tokenizer and template everything after it uses."""
    resource = resources[address]
    match resource.kind.name:
        case "train":
            return root_model(resource.specification.model, resources)
        case "merge":
            return root_model(merged_adapters(resource)[0], resources)
        case _:
            return address


def trained_on(address: str, resources: Resources) -> tuple[str, ...]:
    """The training runs that a model comes out of, the earliest first."""
    resource = resources[address]
    match resource.kind.name:
        case "train":
            return (*trained_on(resource.specification.model, resources), address)
        case "merge":
            runs = (run for one in merged_adapters(resource) for run in trained_on(one, resources))
            return tuple(dict.fromkeys(runs))
        case _:
            return ()


def merged_adapters(resource: Resource) -> tuple[str, ...]:
    """The addresses of what a merge folds in; several have the same base."""
    named = resource.specification.adapter
    return (named,) if isinstance(named, str) else tuple(named)


def scoring_run(address: str, resources: Resources) -> str:
    """The training run that made a model one which scores texts, and cannot go on with them; "" if there is none."""
    runs = trained_on(address, resources)
    return next((one for one in runs if resources[one].specification.judges), "")


def is_adapter(resource: Resource) -> bool:
    """Whether a resource yields an adapter, which is no model without what it was trained on."""
    return resource.kind.name == "train" and resource.specification.adapter is not None


def model_sources(address: str, resources: Resources) -> tuple[Source, ...]:
    """The inputs that make up a model."""
    return tuple(Source(one) for one in foundations(address, resources))
