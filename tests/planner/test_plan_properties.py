"""What holds for any recipe and any edit: a plan is kept and is enough, and no order of writing changes it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from attrs import evolve, frozen
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planner import planfile
from planner.diff import WORKS
from planner.plan import Plan
from tests.fake_kinds import Workshop

MOST = 50
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  writing through costs nothing there
COLOURS = ("red", "green", "blue")


@frozen
class Block:
    """One resource of a random recipe; its bases are blocks before it."""

    name: str
    bases: tuple[int, ...]
    colour: str
    note: str = ""


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Block, ...]:
    count = draw(st.integers(1, MOST))
    blocks = []
    for number in range(count):
        before = st.sets(st.integers(0, number - 1), max_size=3) if number else st.just(set())
        blocks.append(Block(f"n{number}", tuple(sorted(draw(before))), draw(st.sampled_from(COLOURS))))
    return tuple(blocks)


@st.composite
def edits(draw: st.DrawFn) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """A recipe before and after: some blocks renamed, some of another colour or with a note."""
    before = draw(recipes())
    changes = st.sampled_from(("", "", "rename", "colour", "note", "both"))
    return before, tuple(_changed(block, draw(changes)) for block in before)


def _changed(block: Block, how: str) -> Block:
    if how in ("rename", "both"):
        block = evolve(block, name=f"renamed-{block.name}")
    if how in ("colour", "both"):
        block = evolve(block, colour=COLOURS[(COLOURS.index(block.colour) + 1) % len(COLOURS)])
    return evolve(block, note="noted") if how == "note" else block


def largest() -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """An edit of a recipe with as many blocks as there may be, which random ones seldom have."""
    random = Random(MOST)  # noqa: S311  it protects nothing
    before = tuple(
        Block(f"n{number}", tuple(sorted(random.sample(range(number), min(number, 3)))), random.choice(COLOURS))
        for number in range(MOST)
    )
    return before, tuple(_changed(one, random.choice(("", "", "rename", "colour", "note", "both"))) for one in before)


def text(blocks: tuple[Block, ...], before: tuple[Block, ...] = (), shuffle: Random | None = None) -> str:
    """A recipe, with a move for each block that was renamed; `shuffle` writes the keys of each table in any order."""
    tables = []
    for block in blocks:
        bases = ", ".join(f'"thing.{blocks[one].name}"' for one in block.bases)
        lines = [f"base = [{bases}]", f'colour = "{block.colour}"', f'note = "{block.note}"', "steps = 1"]
        if shuffle is not None:
            shuffle.shuffle(lines)
        tables.append("\n".join((f"[thing.{block.name}]", *lines)))
    for old, new in zip(before, blocks, strict=False):
        if old.name != new.name:
            tables.append(f'[[moved]]\nfrom = "thing.{old.name}"\nto = "thing.{new.name}"')
    return "\n".join(tables) + "\n"


def works(plan: Plan) -> set[str]:
    return {step.address for step in plan.steps if step.action in WORKS}


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(edit=edits(), declared=st.booleans())
@example(edit=largest(), declared=True)
def test_a_plan_is_all_that_is_done_and_leaves_nothing_to_do(
    edit: tuple[tuple[Block, ...], tuple[Block, ...]], *, declared: bool
) -> None:
    before, after = edit
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        workshop = Workshop(Path(folder))
        workshop.write(text(before))
        assert workshop.apply().failure is None
        assert workshop.plan().changes == ()
        workshop.write(text(after, before if declared else ()))
        plan = workshop.plan()
        result = workshop.apply(plan)
        assert result.failure is None
        assert set(workshop.build.built) <= works(plan)
        assert set(result.done) == {step.address for step in plan.steps}
        assert set(result.state.records) == {f"thing.{block.name}" for block in after}
        assert workshop.plan().changes == ()


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(edits())
def test_a_rename_alone_never_builds_anything(edit: tuple[tuple[Block, ...], tuple[Block, ...]]) -> None:
    before, edited = edit
    after = tuple(evolve(old, name=new.name) for old, new in zip(before, edited, strict=True))
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        workshop = Workshop(Path(folder))
        workshop.write(text(before[:12]))
        workshop.apply()
        workshop.write(text(after[:12], before[:12]))
        renamed = {f"thing.{new.name}" for old, new in zip(before, after, strict=True) if old.name != new.name}
        moves = {step.address: step.action.value for step in workshop.plan().changes}
        assert moves == dict.fromkeys(renamed & {f"thing.{one.name}" for one in after[:12]}, "move")


@settings(max_examples=40)
@given(recipes(), st.randoms(use_true_random=False))
@example(largest()[0], Random(MOST))  # noqa: S311  it protects nothing
def test_the_order_of_keys_means_nothing(blocks: tuple[Block, ...], shuffle: Random) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        workshop = Workshop(Path(folder))
        workshop.write(text(blocks))
        first = planfile.dumps(workshop.plan(), "recipe.toml")
        workshop.write(text(blocks, shuffle=shuffle))
        assert planfile.dumps(workshop.plan(), "recipe.toml") == first


@settings(max_examples=40)
@given(recipes(), st.randoms(use_true_random=False))
@example(largest()[0], Random(MOST))  # noqa: S311  it protects nothing
def test_the_order_of_tables_changes_no_step(blocks: tuple[Block, ...], shuffle: Random) -> None:
    tables = text(blocks).split("[thing.")[1:]
    shuffle.shuffle(tables)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        workshop = Workshop(Path(folder))
        workshop.write(text(blocks))
        first = workshop.plan()
        workshop.write("".join(f"[thing.{table}" for table in tables))
        second = workshop.plan()
        assert second.recipe_digest == first.recipe_digest
        assert {step.address: step for step in second.steps} == {step.address: step for step in first.steps}
