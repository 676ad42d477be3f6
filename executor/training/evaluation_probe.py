"""What a run names outside the recipe: functions in files, and rows to evaluate on that may be trained on too."""

from __future__ import annotations

from collections.abc import Iterator

from executor.applying.probe import Surroundings
from executor.evaluation.user_functions import UserFunction, function_digests, function_faults, user_functions
from executor.kinds.tokens import made_before
from executor.training.evaluation_fields import where_it_selects
from planner.effects import Effect
from planner.kind import Resource
from planner.structure import settings_of
from state.diagnostic import Diagnostic


def function_content(resource: Resource, surroundings: Surroundings) -> dict[str, str]:
    """The digests of the files of a run's own rewards, and of its own metrics where these decide what comes out."""
    rewards = function_digests(_rewards(resource), surroundings.folder)
    evaluation = resource.specification.evaluation
    if evaluation is None or where_it_selects(settings_of(resource.specification), {}) is not Effect.REBUILD:
        return rewards
    return {**rewards, **function_digests(user_functions(evaluation.metrics), surroundings.folder)}


def _rewards(resource: Resource) -> list[UserFunction]:
    return user_functions(getattr(resource.specification, "reward_functions", ()))


def evaluation_diagnostics(resource: Resource, surroundings: Surroundings) -> tuple[Diagnostic, ...]:
    """Functions that are not there, as errors; rows that are evaluated on and trained on too, as a warning."""
    return (*_functions(resource, surroundings), *_overlap(resource, surroundings))


def _functions(resource: Resource, surroundings: Surroundings) -> Iterator[Diagnostic]:
    evaluation = resource.specification.evaluation
    named = user_functions(evaluation.metrics) if evaluation is not None else []
    for path, functions in (("evaluation.metrics", named), ("reward_functions", _rewards(resource))):
        for what, hint in function_faults(functions, surroundings.folder):
            yield Diagnostic("Contradicting fields", f"{resource.address}.{path}: {what}.", hint, resource.place(path))


def _overlap(resource: Resource, surroundings: Surroundings) -> tuple[Diagnostic, ...]:
    if not resource.specification.test_datasets:
        return ()
    sources = resource.kind.inputs(resource, surroundings.resources)
    test, training = (surroundings.resources[sources[name][0].address] for name in ("test_datasets", "tokens"))
    if made_before(test, surroundings) and made_before(training, surroundings):
        return ()
    from executor.tokens.row_sample import overlaps

    return overlaps(test, [training], surroundings)
