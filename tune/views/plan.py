"""A plan as people read it: the symbols that occur, one block for each step that does anything, one footer."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from planner.diff import Action
from planner.kind import Kinds
from planner.plan import Plan, Step
from tune.views.diagnostics import render
from tune.views.footer import footer
from tune.views.notes import notes, place
from tune.views.reasons import chain, sentence
from tune.views.terminal import Hanging, hanging
from tune.views.words import COLOURS, SYMBOLS, short, verb_of

MEANINGS = {
    "rebuild": "rebuild (what it replaces is kept)",
    "shorten": "shorten (go back to a checkpoint)",
    "update": "update the record only",
    "adopt": "adopt what exists already",
}
SYMBOL_INDENT = 6
STEP_INDENT = 8


def print_plan(out: Console, plan: Plan, kinds: Kinds, *, everything: bool = False) -> None:
    """The whole plan; reused steps only where asked for."""
    for diagnostic in plan.diagnostics:
        render(out, diagnostic)
    steps = plan.steps if everything else plan.changes
    if plan.changes:
        out.print(hanging(f"To make the models match {plan.recipe}, tune will:", 0))
        out.print()
        _print_legend(out, steps)
    for step in steps:
        print_step(out, step, kinds)
    if steps:
        out.print()
    if plan.left_out:
        out.print(hanging(f"Left out, as asked for: {', '.join(plan.left_out)}.", 0))
    out.print(hanging(footer(plan), 0, style="bold"))


def print_step(out: Console, step: Step, kinds: Kinds) -> None:
    """One step: symbol, address, what it means for this kind, and why."""
    verb = verb_of(step.address, kinds)
    line = Text(step.address, style="bold")
    line.append(f"  {headline(step, verb)}", style="not bold")
    out.print(Hanging(line, SYMBOL_INDENT, f"{SYMBOLS[step.action]:>{SYMBOL_INDENT - 1}}", COLOURS[step.action]))
    if step.action is not Action.REUSE:
        for said in (*(f"{sentence(one, verb)}{place(step, one)}" for one in step.reasons), *notes(step)):
            out.print(hanging(said, STEP_INDENT))


def print_why(out: Console, plan: Plan, step: Step, kinds: Kinds) -> None:
    """One step with the whole chain of its reasons, and what it is made from."""
    print_step_head(out, step, kinds)
    if step.action is Action.REUSE:
        out.print(hanging("Settings, data and inputs are those that it was made with.", 4))
    steps = {one.address: one for one in plan.steps}
    for depth, text in chain(step, steps, kinds):
        label = f"{' ' * (4 + 2 * depth)}because "
        out.print(Hanging(Text(text), len(label), label))
    for note in notes(step):
        out.print(hanging(note, 4))
    dependants = [
        one.address
        for one in plan.steps
        if any(given.source.address == step.address for group in one.inputs.values() for given in group)
    ]
    for field, group in step.inputs.items():
        for given in group:
            known = f"digest {short(given.digest)}" if given.digest else "digest known only when it is made"
            part = f" ({given.source.part})" if given.source.part else ""
            out.print(hanging(f"made from {given.source.address}{part} as {field}: {known}", 4))
    if dependants:
        out.print(hanging(f"needed by {', '.join(dependants)}", 4))


def print_step_head(out: Console, step: Step, kinds: Kinds) -> None:
    """The first line of a step."""
    head = headline(step, verb_of(step.address, kinds))
    out.print(Text(f"{SYMBOLS[step.action]} {step.address}  {head}", style="bold"), soft_wrap=True)


def headline(step: Step, verb: str) -> str:
    """What a step does, in the words of its kind; `verb` is what the kind calls a rebuild."""
    match step.action:
        case Action.REBUILD:
            text = verb
        case Action.RESUME | Action.EXTEND if step.resume_from is not None:
            text = _continued(step, step.resume_from.step)
        case Action.UPDATE:
            text = "update the record"
        case Action.ADOPT:
            text = "adopt"
        case _:
            text = step.action.value
    return f"{text}, unless its inputs come out the same" if step.conditional else text


def _continued(step: Step, begins: int) -> str:
    ends = step.shortened_to
    if ends is None:
        return f"{step.action} from step {begins}"
    return f"shorten to step {ends}" if ends == begins else f"shorten to step {ends}, going on from step {begins}"


def _print_legend(out: Console, steps: tuple[Step, ...]) -> None:
    for action in Action:
        for word in sorted({step.deed for step in steps if step.action is action}):
            label = f"{SYMBOLS[action]:>{SYMBOL_INDENT - 1}}"
            out.print(Hanging(Text(MEANINGS.get(word, word)), SYMBOL_INDENT, label, COLOURS[action]))
    out.print()
