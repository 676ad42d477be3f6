"""What a command says of the machine at hand, which is no part of a plan: that is the same everywhere."""

from __future__ import annotations

from collections.abc import Collection

from attrs import evolve

from state.diagnostic import Severity


def warn_of_libraries(kinds: Collection[str]) -> None:
    """Warn of installed libraries that are known not to train, given the kinds of what is to be built.

    A machine that has none of them only plans, and has nothing to be warned of.
    """
    if "train" not in kinds:
        return
    from executor.doctor.tested_versions import unfit_here
    from tune.views.diagnostics import print_diagnostics

    print_diagnostics([evolve(one, severity=Severity.WARNING) for one in unfit_here()])
