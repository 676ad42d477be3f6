"""`tune import`: what was trained elsewhere becomes a resource's result; what does not fit is refused unwritten."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.applying.provenance import Origin
from executor.models.tensor_files import TensorLayout, read_header, write_tensors
from planner.plan import Step
from planner.reason import InputAssumed, InputChanged
from state import artifacts
from state.lock import Lock
from state.owner import this_process
from state.record import InputRecord, Record
from state.writer import writing

HIDDEN, INNER, LAYERS, VOCABULARY = 8, 16, 2, 32
MATRICES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
EXPERT = {"model.layers.0.mlp.experts.0.w1.weight": (4, 4)}
CONFIG = {
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
}
RECIPE = """
[model.base]
source = "base"
[dataset.rows]
source = "rows.jsonl"
type = "completion"
[train.full]
method = "sft"
model = "model.base"
datasets = ["dataset.rows"]
learning_rate = 1e-3
[train.adapter]
method = "sft"
model = "model.base"
datasets = ["dataset.rows"]
learning_rate = 1e-3
[train.adapter.adapter]
r = 4
lora_alpha = 8
[merge.final]
adapter = "train.adapter"
dtype = "float32"
"""


def write_zeros(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str = "F32") -> None:
    layouts = {name: TensorLayout(dtype, shape) for name, shape in shapes.items()}
    write_tensors(path, layouts, lambda name: [memoryview(bytes(layouts[name].size))])


def write_model(folder: Path, *, dtype: str = "F32", vocabulary: int = VOCABULARY, **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **config}))
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{number}.{name}.weight": shape for number in range(LAYERS) for name, shape in MATRICES.items()
    }
    embedding = {"model.embed_tokens.weight": (vocabulary, HIDDEN), "model.norm.weight": (HIDDEN,)}
    write_zeros(folder / "model.safetensors", {**shapes, **embedding}, dtype)
    return folder


def write_adapter(
    folder: Path, *, rank: int = 4, width: int = HIDDEN, modules: tuple[str, ...] = tuple(MATRICES), **config: Any
) -> Path:
    folder.mkdir(parents=True)
    said = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "base_model_name_or_path": "/home/a/b"}
    (folder / "adapter_config.json").write_text(json.dumps({**said, "target_modules": list(modules), **config}))
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(LAYERS):
        for name in modules:
            key = f"base_model.model.model.layers.{number}.{name}"
            outputs, inputs = (width if side == HIDDEN else side for side in MATRICES[name])
            shapes[f"{key}.lora_A.weight"] = (rank, inputs)
            shapes[f"{key}.lora_B.weight"] = (outputs, rank)
    write_zeros(folder / "adapter_model.safetensors", shapes)
    return folder


@pytest.fixture
def project(empty: Any, fresh_tokenizer: Path) -> Any:
    """A recipe on a tiny base in a folder, of which nothing was made."""
    (empty.path / "recipe.toml").write_text(RECIPE)
    (empty.path / "rows.jsonl").write_text('{"text": "one"}\n')
    write_model(empty.path / "base")
    for path in fresh_tokenizer.iterdir():
        shutil.copyfile(path, empty.path / "base" / path.name)
    return empty


@pytest.fixture
def fresh_tokenizer() -> Path:
    return Path(__file__).parent.parent.parent / "examples" / "quickstart" / "tokenizer"


def untouched(project: Any) -> bool:
    """Whether nothing was recorded or copied."""
    return not (project.path / ".tune" / "state.json").exists() and not (project.path / ".tune" / "artifacts").exists()


def test_an_adapter_is_copied_and_recorded_with_what_it_was_taken_for(project: Any, tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "theirs")
    done = project.tune("import", str(source), "--as", "train.adapter")
    record = project.record("train.adapter")
    assert done.stdout == (
        f"train.adapter is imported, output {record['output_digest'][:12]}.\n"
        "Not all that it was made from is known here yet: `tune plan` says what is taken to be true.\n"
    )
    assert done.stderr == "Copying theirs.\n"
    assert record["facts"] == {
        "all_linear": ["down_proj", "q_proj", "up_proj", "v_proj"],
        "dropout": False,
        "imported_from": "theirs",
        "r": 4,
        "target_modules": ["down_proj", "q_proj", "up_proj", "v_proj"],
        "trainable_parameters": 2 * 4 * (16 + 16 + 24 + 24),
    }
    assert record["status"] == "ready"
    base = record["inputs"]["model"][0]
    assert (base["address"], base["verified"], bool(base["digest"])) == ("model.base", False, True)
    assert record["inputs"]["tokens"] == [{"address": "tokens.adapter", "part": "", "digest": "", "verified": False}]
    assert record["provenance"]["host"] == socket.gethostname()
    assert (record["provenance"]["versions"], record["provenance"]["seconds"]) == ({}, 0.0)
    assert str(tmp_path) not in json.dumps(record)
    folder = project.path / ".tune" / record["artifact"]
    assert artifacts.verify(folder) == ()
    own = {"adapter_config.json", "adapter_model.safetensors"}
    assert {path.name for path in folder.iterdir()} == own | {"manifest.json"} | {
        path.name for path in (project.path / "base").iterdir() if "token" in path.name or path.suffix == ".jinja"
    }
    (source / "adapter_model.safetensors").write_bytes(b"")
    assert artifacts.verify(folder) == ()
    assert project.tune("state", "verify").stdout.endswith("Everything is what was written.\n")
    log = project.tune("state", "log").stdout
    assert "Command:  tune import\nBecause:  imported theirs as train.adapter\n" in log


def test_a_plan_does_not_retrain_what_was_imported_and_says_what_it_assumes(project: Any, tmp_path: Path) -> None:
    project.tune("import", str(write_adapter(tmp_path / "theirs")), "--as", "train.adapter")
    assert project.step("train.adapter")["reasons"] == [
        {"code": "input_assumed", "field": "tokens", "input": "tokens.adapter"}
    ]
    shown = project.tune("plan").stdout
    assert (
        "    ~ train.adapter  update the record\n"
        "        tokens: what it was imported with is taken to be what the recipe names, tokens.adapter\n"
    ) in shown
    assert ", not verified: a person said so" in project.tune("state", "show", "train.adapter").stdout
    project.edit("r = 4", "r = 8")
    assert project.actions()["train.adapter"] == "rebuild"


NAMED = 'target_modules = ["v_proj", "q_proj", "up_proj", "down_proj"]'


@pytest.mark.parametrize(
    ("more", "action"),
    [
        ({}, "update"),
        ({"model.layers.1.mlp.gate.weight": (4, HIDDEN)}, "rebuild"),
        ({"model.project_in.weight": (HIDDEN, HIDDEN)}, "rebuild"),
        ({"model.q_proj.weight": (HIDDEN,)}, "rebuild"),
    ],
    ids=["all that there is", "a router", "a matrix outside of layers", "another thing of the name"],
)
def test_all_linear_may_be_written_out_where_the_base_leaves_no_doubt_of_what_it_is(
    project: Any, tmp_path: Path, more: dict[str, tuple[int, ...]], action: str
) -> None:
    weights = project.path / "base" / "model.safetensors"
    shapes = {name: one.shape for name, one in read_header(weights).items()}
    write_zeros(weights, {**shapes, **more})
    project.tune("import", str(write_adapter(tmp_path / "theirs")), "--as", "train.adapter")
    project.edit("lora_alpha = 8", f"lora_alpha = 8\n{NAMED}")
    assert project.actions()["train.adapter"] == action
    if action == "update":
        said = " ".join(project.tune("plan").stdout.split())
        assert "# recorded: they are the same modules, and nothing is trained again" in said


def test_a_whole_model_takes_the_tokenizer_of_the_recipe(project: Any, tmp_path: Path) -> None:
    source = write_model(tmp_path / "theirs")
    (source / "tokenizer.json").write_text("{}")
    (source / "training_args.bin").write_bytes(b"pickled")
    project.tune("import", str(source), "--as", "train.full")
    folder = project.path / ".tune" / project.record("train.full")["artifact"]
    assert (folder / "tokenizer.json").read_bytes() == (project.path / "base" / "tokenizer.json").read_bytes()
    assert not (folder / "training_args.bin").exists()


def test_a_merge_can_be_imported_too(project: Any, tmp_path: Path) -> None:
    project.tune("import", str(write_model(tmp_path / "theirs")), "--as", "merge.final")
    assert project.record("merge.final")["facts"]["parameters"] > 0
    assert project.actions()["merge.final"] == "update"


def refused(project: Any, source: Path, address: str = "train.adapter") -> str:
    """What is said against an import that must leave everything as it was."""
    said: str = project.tune("import", str(source), "--as", address, expect=1).stderr
    assert untouched(project)
    return said


@pytest.mark.parametrize(
    ("made", "detail"),
    [
        ({"r": 8, "rank": 8}, "r is 8, and the recipe says 4"),
        ({"rank": 8}, "its matrices have the rank 8, and the recipe says 4"),
        ({"lora_alpha": 16}, "lora_alpha is 16, and the recipe says 8"),
        ({"lora_dropout": 0.05}, "lora_dropout is 0.05, and the recipe says 0"),
        ({"use_dora": True}, "use_dora is true, and the recipe says false"),
        ({"use_rslora": True}, "use_rslora is true, and the recipe says false"),
        ({"peft_type": "IA3"}, "peft_type is IA3, and the recipe says LORA"),
        ({"rank_pattern": {"q_proj": 8}}, "it has a rank_pattern, and the recipe has none"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is lm_head, and the recipe says none"),
        ({"width": 4}, "its model.layers.0.mlp.down_proj.weight has the shape (4, 16), and that of the base (8, 16)"),
        (
            {"modules": ("self_attn.q_proj",)},
            "it does not change down_proj, up_proj, v_proj, which the recipe's target_modules name",
        ),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_an_adapter_of_another_shape_is_refused(
    project: Any, tmp_path: Path, made: dict[str, Any], detail: str
) -> None:
    said = " ".join(refused(project, write_adapter(tmp_path / "theirs", **made)).split())
    assert f"Error: Does not fit [TUNE384] `theirs` cannot be train.adapter: {detail}." in said


def test_everything_that_does_not_fit_is_said_at_once(project: Any, tmp_path: Path) -> None:
    assert refused(project, write_adapter(tmp_path / "theirs", r=8, rank=8, lora_alpha=16)) == (
        "Error: Does not fit [TUNE384]\n"
        "  `theirs` cannot be train.adapter: r is 8, and the recipe says 4.\n"
        "Error: Does not fit [TUNE384]\n"
        "  `theirs` cannot be train.adapter: lora_alpha is 16, and the recipe says 8.\n"
        "Error: Does not fit [TUNE384]\n"
        "  `theirs` cannot be train.adapter: its matrices have the rank 8, and the recipe says 4.\n"
        "3 problems found; nothing was done.\n"
    )


def test_named_target_modules_are_compared_by_name(project: Any, tmp_path: Path) -> None:
    project.edit("lora_alpha = 8", 'lora_alpha = 8\ntarget_modules = ["q_proj", "up_proj"]')
    made = write_adapter(tmp_path / "theirs", modules=("self_attn.q_proj", "self_attn.v_proj"))
    said = " ".join(refused(project, made).split())
    assert "it does not change up_proj, which the recipe's target_modules name." in said
    layers = "model.layers.0.self_attn.v_proj, model.layers.1.self_attn.v_proj"
    assert f"it changes {layers}, which the recipe's target_modules leave alone." in said


@pytest.mark.parametrize(
    ("make", "address", "detail"),
    [
        (write_model, "train.adapter", "it is a whole model, and the recipe asks for an adapter"),
        (write_adapter, "train.full", "it is an adapter, and the recipe asks for a whole model"),
        (write_adapter, "merge.final", "it is an adapter, and the recipe asks for a whole model"),
    ],
)
def test_an_adapter_is_no_model(
    project: Any, tmp_path: Path, make: Callable[[Path], Path], address: str, detail: str
) -> None:
    assert detail in refused(project, make(tmp_path / "theirs"), address)


@pytest.mark.parametrize(
    ("made", "address", "detail"),
    [
        ({"vocabulary": 40, "vocab_size": 40}, "train.full", "vocab_size is 40, and that of the base is 32"),
        ({"vocabulary": 40}, "train.full", "the shape of model.embed_tokens.weight is not that of the base"),
        ({"num_hidden_layers": 3}, "train.full", "num_hidden_layers is 3, and that of the base is 2"),
        ({"dtype": "BF16"}, "merge.final", "its matrices are BF16, and the recipe says float32"),
    ],
)
def test_a_model_of_another_shape_is_refused(
    project: Any, tmp_path: Path, made: dict[str, Any], address: str, detail: str
) -> None:
    assert detail in refused(project, write_model(tmp_path / "theirs", **made), address)


def test_missing_tensors_are_counted(project: Any, tmp_path: Path) -> None:
    source = write_model(tmp_path / "theirs")
    write_zeros(source / "model.safetensors", {"model.norm.weight": (HIDDEN,), "other.weight": (1, 1)})
    said = " ".join(refused(project, source, "train.full").split())
    assert "it has other.weight, which the base does not have" in said
    assert "model.layers.0.mlp.down_proj.weight and 6 more, which the base has" not in said
    assert "and 6 more, which the base has" in said


def test_names_of_a_bare_backbone_and_what_follows_from_the_configuration_do_not_matter(
    project: Any, tmp_path: Path
) -> None:
    theirs, base = write_model(tmp_path / "theirs"), project.path / "base" / "model.safetensors"
    shapes = {name: entry.shape for name, entry in read_header(base).items()}
    bare = {name.removeprefix("model."): shape for name, shape in shapes.items()}
    write_zeros(base, {**bare, "layers.0.attn.bias": (4, 4), "layers.0.mlp.experts.0.w1.weight": (4, 4)})
    write_zeros(theirs / "model.safetensors", {**shapes, "lm_head.weight": (VOCABULARY, HIDDEN), **EXPERT})
    project.tune("import", str(theirs), "--as", "train.full")
    project.tune("import", str(write_adapter(tmp_path / "adapter")), "--as", "train.adapter")


def test_what_is_no_folder_of_weights_is_refused(project: Any, tmp_path: Path) -> None:
    assert "Error: Not a folder [TUNE385]\n" in refused(project, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "Error: No weights [TUNE264]\n" in refused(project, tmp_path / "empty")
    pickles = tmp_path / "pickles"
    pickles.mkdir()
    for name in ("pytorch_model.bin", "adapter_model.bin", "config.json"):
        (pickles / name).write_bytes(b"{}")
    assert refused(project, pickles) == (
        "Error: Pickle refused [TUNE348]\n"
        "  `pickles` holds adapter_model.bin, pytorch_model.bin: such files may run code when they are\n"
        "  loaded.\n"
        "  hint: Save it again with `save_pretrained`, which writes safetensors.\n"
    )
    both = write_adapter(tmp_path / "both")
    shutil.copyfile(project.path / "base" / "model.safetensors", both / "model.safetensors")
    assert "Error: Ambiguous folder [TUNE386]\n" in refused(project, both)


@pytest.mark.parametrize("content", [b"", b"\xff" * 20, b"\x08\0\0\0\0\0\0\0not json"])
def test_damaged_weights_are_refused(project: Any, tmp_path: Path, content: bytes) -> None:
    source = write_adapter(tmp_path / "theirs")
    (source / "adapter_model.safetensors").write_bytes(content)
    assert "Error: D" in refused(project, source)


@pytest.mark.parametrize("text", ["", "[]", '{"peft_type": "LORA", "r": 4}', '{"peft_type": "LORA", "r": {}}'])
def test_a_damaged_configuration_is_refused(project: Any, tmp_path: Path, text: str) -> None:
    source = write_adapter(tmp_path / "theirs")
    (source / "adapter_config.json").write_text(text)
    assert "Error: D" in refused(project, source)


def test_only_what_the_recipe_trains_or_merges_can_be_imported(project: Any, tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "theirs")
    assert refused(project, source, "train.adaptor") == (
        "Error: Unknown address [TUNE040]\n"
        "  The recipe has no train or merge of the address `train.adaptor`.\n"
        "  hint: Did you mean `train.adapter`?\n"
    )
    assert "Error: Unknown address [TUNE040]\n" in refused(project, source, "dataset.rows")


def test_an_address_that_is_taken_has_to_be_forgotten_first(project: Any, tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "theirs")
    project.tune("import", str(source), "--as", "train.adapter")
    before = (project.path / ".tune" / "state.json").read_bytes()
    assert project.tune("import", str(source), "--as", "train.adapter", expect=1).stderr == (
        "Error: Address in use [TUNE042]\n"
        "  The state has a `train.adapter` already.\n"
        "  hint: Forget it first: `tune state rm train.adapter`. Its artifact stays until it is collected.\n"
    )
    assert (project.path / ".tune" / "state.json").read_bytes() == before
    project.tune("state", "rm", "train.adapter")
    project.tune("import", str(source), "--as", "train.adapter")
    assert project.tune("gc").stdout == "Nothing to collect.\n"


def test_a_copy_that_was_killed_does_not_count_and_is_made_anew(project: Any, tmp_path: Path) -> None:
    source = write_adapter(tmp_path / "theirs")
    project.tune("import", str(source), "--as", "train.adapter")
    folder = project.path / ".tune" / project.record("train.adapter")["artifact"]
    shutil.rmtree(project.path / ".tune")
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"half")
    (folder / "stray").write_bytes(b"of an earlier attempt")
    project.tune("import", str(source), "--as", "train.adapter")
    assert artifacts.verify(folder) == ()
    assert not (folder / "stray").exists()


# What planning and applying make of such a record, on fake kinds.

THINGS = """
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.top]
base = ["thing.base"]
"""


def doubt(record: Record) -> Record:
    """The record as an import would have made it before its inputs existed."""
    inputs = {
        name: tuple(evolve(one, digest="", verified=False) for one in group) for name, group in record.inputs.items()
    }
    return evolve(record, inputs=inputs, action_key="0" * 32, checkpoints=())


@pytest.fixture
def imported(workshop: Any) -> Any:
    """A workshop in which the upper thing was imported, and nothing else exists."""
    workshop.write(THINGS, **{"data.txt": "one"})
    workshop.apply()
    top = workshop.state().records["thing.top"]
    author = Origin("", "ada", socket.gethostname(), "", git_dirty=False).author("tune import")
    with writing(workshop.store, Lock(workshop.backend, this_process("tune import", "")), author) as writer:
        records = writer.state.records.changed({"thing.top": doubt(top), "raw.data": None, "thing.base": None})
        writer.save(evolve(writer.state, records=records, superseded=writer.state.superseded.changed({})))
    return workshop


def top_step(workshop: Any) -> Step:
    found: Step = next(one for one in workshop.plan().steps if one.address == "thing.top")
    return found


def test_unknown_inputs_are_bound_when_they_are_known_and_stay_unverified(imported: Any) -> None:
    assert top_step(imported).reasons == (InputAssumed("base", "thing.base"),)
    assert imported.actions() == {"raw.data": "build", "thing.base": "build", "thing.top": "update"}
    assert imported.apply().failure is None
    assert imported.build.built in ([], ["thing.base"])
    state = imported.state()
    expected = InputRecord("thing.base", "", state.records["thing.base"].output_digest, verified=False)
    assert state.records["thing.top"].inputs == {"base": (expected,)}
    assert imported.actions() == {}


def test_once_bound_a_change_is_noticed_and_the_new_result_is_verified(imported: Any) -> None:
    imported.apply()
    imported.write(THINGS.replace("[thing.base]", '[thing.base]\ncolour = "blue"'))
    assert imported.actions() == {"thing.base": "rebuild", "thing.top": "rebuild"}
    imported.apply()
    (one,) = imported.state().records["thing.top"].inputs["base"]
    assert one.verified


def test_an_update_later_on_keeps_the_doubt(imported: Any) -> None:
    imported.apply()
    imported.write(THINGS.replace("[thing.top]", '[thing.top]\nnote = "x"'))
    assert imported.actions() == {"thing.top": "update"}
    imported.apply()
    (one,) = imported.state().records["thing.top"].inputs["base"]
    assert not one.verified


def test_another_input_than_the_one_it_was_imported_with_is_a_change(imported: Any) -> None:
    imported.write(THINGS.replace('["thing.base"]', '["raw.data"]'))
    (reason,) = top_step(imported).reasons
    assert isinstance(reason, InputChanged)
    assert (reason.input, reason.certain) == ("raw.data", True)
    assert imported.actions()["thing.top"] == "rebuild"


@pytest.mark.torch
@pytest.mark.slow
def test_what_was_trained_in_one_place_is_imported_in_another_and_trains_nothing(finished: Path, fresh: Any) -> None:
    theirs = finished / ".tune" / "artifacts" / "train"
    for name in ("base", "assistant"):
        (source,) = (theirs / name).iterdir()
        fresh.tune("import", str(source), "--as", f"train.{name}")
    assert {address: one for address, one in fresh.actions().items() if address.startswith("train.")} == {
        "train.base": "update",
        "train.assistant": "update",
    }
    done = fresh.apply()
    assert (done["train.base"], done["train.assistant"], done["merge.assistant"]) == ("updated", "updated", "built")
    assert fresh.summary() == {"reuse": 11}
    assert fresh.tune("state", "verify").stdout.endswith("Everything is what was written.\n")
    fresh.edit("learning_rate = 1e-3", "learning_rate = 5e-4")
    assert fresh.actions()["train.assistant"] == "rebuild"


IMPORTING = RECIPE + '[[import]]\nto = "train.adapter"\nfrom = "theirs"\n'


def test_an_import_in_the_recipe_is_planned_and_done_once(project: Any) -> None:
    write_adapter(project.path / "theirs")
    (project.path / "recipe.toml").write_text(IMPORTING)
    assert (
        "   <= train.adapter  adopt\n"
        "        imported from theirs; that it was made from what the recipe names is taken on its word\n"
    ) in project.tune("plan").stdout
    planned = project.tune("plan", "--target", "train.adapter", "--out", "p.plan.json").stdout
    assert "Left out, as asked for: tokens.full, train.full, merge.final.\n" in planned
    assert "Plan: 3 to build, 1 to adopt.\n" in planned
    applied = project.tune("apply", "p.plan.json", "--json").stdout.splitlines()
    assert json.loads(applied[-1])["steps"]["train.adapter"] == "imported"
    record = project.record("train.adapter")
    assert record["facts"]["imported_from"] == "theirs"
    assert [one["verified"] for group in record["inputs"].values() for one in group] == [False, False]
    assert "train.adapter" not in project.actions()
    shutil.rmtree(project.path / "theirs")
    assert "train.adapter" not in project.actions()


def test_tokens_follow_what_is_renamed(project: Any) -> None:
    write_adapter(project.path / "theirs")
    (project.path / "recipe.toml").write_text(IMPORTING)
    project.tune("apply", "--auto-approve", "--target", "train.adapter")
    moved = '[[moved]]\nfrom = "train.adapter"\nto = "train.style"\n'
    (project.path / "recipe.toml").write_text(RECIPE.replace("train.adapter", "train.style") + moved)
    part = ("--target", "train.style")
    shown = project.tune("plan", *part).stdout
    assert (
        "    > tokens.style  move\n"
        "        moved from tokens.adapter\n"
        "    > train.style  move\n"
        "        moved from train.adapter\n"
    ) in shown
    assert "Plan: 2 to move, 2 reused.\n" in shown
    done = project.tune("apply", "--auto-approve", *part).stdout
    assert "train.style: moved\n" in done
    assert project.tune("plan", *part).stdout.endswith("No changes to what was selected.\n")


def test_an_import_that_does_not_fit_is_found_by_the_plan(project: Any) -> None:
    write_adapter(project.path / "theirs", rank=2)
    (project.path / "recipe.toml").write_text(IMPORTING)
    assert project.tune("plan", expect=1).stderr == (
        "recipe.toml:23:1: Error: Does not fit [TUNE384]\n"
        "  `theirs` cannot be train.adapter: its matrices have the rank 2, and the recipe says 4.\n"
    )
    shutil.rmtree(project.path / "theirs")
    refused = project.tune("plan", expect=1).stderr
    assert refused.startswith("recipe.toml:23:1: Error: Not a folder [TUNE385]\n")
    assert untouched(project)


def test_an_edit_of_what_was_imported_is_accepted_and_told(project: Any, tmp_path: Path) -> None:
    project.tune("import", str(write_adapter(tmp_path / "theirs")), "--as", "train.adapter")
    project.edit("learning_rate = 1e-3\n[train.adapter.adapter]", "learning_rate = 2e-3\n[train.adapter.adapter]")
    assert project.actions()["train.adapter"] == "rebuild"
    done = project.tune("accept", "train.adapter", "--because", "they used this learning rate")
    assert done.stdout.startswith("train.adapter is accepted as it is, output ")
    assert project.actions()["train.adapter"] == "update"
    log = project.tune("state", "log").stdout
    assert "Command:  tune accept\nBecause:  they used this learning rate\n" in log
    refused = project.tune("accept", "train.full", "--because", "why not", expect=1)
    assert refused.stderr == (
        "Error: Nothing to accept [TUNE048]\n"
        "  The state has no result of train.full.\n"
        "  hint: Make it with `tune apply --target train.full`.\n"
    )
    assert "--because is empty" in project.tune("accept", "train.adapter", "--because", " ", expect=1).stderr
