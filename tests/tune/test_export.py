"""Exports as a person sees them: a model of a few numbers goes to a folder, an object store and a hub."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from executor.models.tensor_files import TensorLayout, write_tensors
from state.locations import open_backend

TOKENIZER = Path(__file__).parent.parent.parent / "examples" / "quickstart" / "tokenizer"
RECIPE = """\
[model.base]
source = "weights"

[export.final]
model = "model.base"
to = "outputs/final"
"""
CARD = '---\nlicense: other\nlicense_name: "tiny"\ndatasets: [a]\n---\n# Tiny\nlicense: none\n'
FILES = [
    "LICENSE",
    "README.md",
    "SHA256SUMS",
    "audit/bom.cdx.json",
    "audit/provenance.intoto.json",
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]


def write_weights(folder: Path, value: int) -> None:
    content = bytes([value] * 16)
    write_tensors(folder / "model.safetensors", {"w": TensorLayout("F32", (4,))}, lambda _: [memoryview(content)])


@pytest.fixture
def folder(empty: Any) -> Any:
    """A recipe that exports a folder of weights."""
    weights = empty.path / "weights"
    shutil.copytree(TOKENIZER, weights)
    write_weights(weights, 1)
    (weights / "config.json").write_text('{"model_type": "llama"}')
    (weights / "LICENSE").write_text("Be kind.\n")
    (weights / "README.md").write_text(CARD)
    (weights / "training_args.bin").write_text("of no use to anybody")
    (empty.path / "recipe.toml").write_text(RECIPE)
    return empty


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_gets_the_model_its_papers_its_licence_and_digests_of_everything(folder: Any) -> None:
    assert folder.apply() == {"model.base": "recorded", "export.final": "built"}
    exported = folder.path / "outputs" / "final"
    assert files(folder.path / "outputs") == [f"final/{name}" for name in FILES]
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=exported, capture_output=True, check=False)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(FILES) - 1
    for name in ("model.safetensors", "LICENSE", "tokenizer.json"):
        assert (exported / name).read_bytes() == (folder.path / "weights" / name).read_bytes()
    assert (exported / "README.md").read_text().startswith('---\nlicense: "other"\nlicense_name: "tiny"\nlibrary_name:')
    statement = json.loads((exported / "audit" / "provenance.intoto.json").read_text())
    digests = {one["name"]: one["digest"]["sha256"] for one in statement["subject"]}
    assert digests["model.safetensors"] == hashlib.sha256((exported / "model.safetensors").read_bytes()).hexdigest()
    assert str(folder.path) not in (exported / "README.md").read_text() + json.dumps(statement)
    assert folder.summary() == {"reuse": 2}


def test_an_export_that_was_changed_or_removed_is_made_again(folder: Any) -> None:
    folder.apply()
    exported = folder.path / "outputs" / "final"
    before = {name: (exported / name).read_bytes() for name in FILES}
    harms = (
        shutil.rmtree,
        lambda path: (path / "SHA256SUMS").write_text(""),
        lambda path: (path / "config.json").write_text("{}"),
        lambda path: (path / "audit" / "bom.cdx.json").unlink(),
    )
    for harm in harms:
        harm(exported)
        assert folder.actions() == {"export.final": "rebuild"}
        (reason,) = folder.step("export.final")["reasons"]
        assert (reason["code"], reason["name"]) == ("content_changed", "outputs/final")
        shutil.rmtree(exported, ignore_errors=True)
        assert folder.apply()["export.final"] == "rebuilt"
        assert {name: (exported / name).read_bytes() for name in FILES} == before
        assert folder.summary() == {"reuse": 2}


def test_an_exported_folder_is_verified_byte_by_byte(folder: Any) -> None:
    folder.apply()
    assert folder.tune("verify", "export.final").stdout == "export.final is what was written.\n"
    assert "exports (1)" in folder.tune("state", "verify").stdout
    weights = folder.path / "outputs" / "final" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for command in (["verify", "export.final"], ["state", "verify"]):
        assert folder.tune(*command, expect=1).stderr == (
            "outputs/final: Error: Changed artifact [TUNE341]\n"
            "  The folder of export.final is not what was exported: `model.safetensors` changed.\n"
            "  hint: Remove the folder, and `tune apply` exports again.\n"
        )


def test_every_file_of_an_export_is_answered_for(folder: Any) -> None:
    folder.edit('to = "outputs/final"', 'to = "outputs/final"\ndtype = "float16"')
    folder.apply()
    exported = folder.path / "outputs" / "final"
    for name in ("model.safetensors", "README.md", "audit/bom.cdx.json", "SHA256SUMS"):
        assert folder.tune("state", "show", str(exported / name)).stdout.startswith("export.final\n")
    (exported / "README.md").write_text("mine")
    assert "Unknown file" in folder.tune("state", "show", str(exported / "README.md"), expect=1).stderr


def test_too_few_digits_of_a_digest_are_told_to_be_too_few(folder: Any) -> None:
    folder.apply()
    digest = folder.record("export.final")["output_digest"]
    assert folder.tune("state", "show", digest[:6]).stdout.startswith("export.final\n")
    assert folder.tune("state", "show", digest[:5], expect=1).stderr.endswith(
        "hint: Of a digest, 6 digits are needed.\n"
    )


def test_what_is_not_here_is_not_said_to_be_what_was_written(folder: Any) -> None:
    folder.apply()
    shutil.rmtree(folder.path / "outputs")
    for address in ("export.final", "model.base"):
        said = folder.tune("verify", address, expect=1).stderr
        assert said.startswith(
            f"Error: No output [TUNE393]\n  Of {address}, there is nothing on this machine that could"
        )


def test_an_undone_edit_is_exported_again_and_never_adopted(folder: Any) -> None:
    for value in (1, 2, 1):
        write_weights(folder.path / "weights", value)
        folder.apply()
        exported = (folder.path / "outputs" / "final" / "model.safetensors").read_bytes()
        assert exported == (folder.path / "weights" / "model.safetensors").read_bytes()
    assert files(folder.path / "outputs") == [f"final/{name}" for name in FILES]


def test_the_same_export_made_without_state_leaves_the_files_alone(folder: Any) -> None:
    folder.apply()
    exported = folder.path / "outputs" / "final"
    before = {name: (exported / name).stat().st_mtime_ns for name in FILES if name.startswith("model")}
    folder.tune("state", "rm", "export.final")
    assert "outputs/final holds it already" in folder.tune("apply", "--auto-approve").stdout
    assert {name: (exported / name).stat().st_mtime_ns for name in before} == before


@pytest.mark.parametrize("name", ["1-thesis.txt", "SHA256SUMS"])
def test_a_folder_with_somebody_s_files_is_refused_and_left_as_it_was(folder: Any, name: str) -> None:
    target = folder.path / "outputs" / "final"
    target.mkdir(parents=True)
    (target / "1-thesis.txt").write_text("years of work")
    (target / name).write_text("00  1-thesis.txt\n")
    before = files(target)
    said = folder.tune("plan", expect=1).stderr
    assert (
        "Error: Foreign files [TUNE382]\n  `outputs/final` holds `1-thesis.txt`, which no export of tune put there.\n"
        "  hint: Name an empty place, or one that tune has exported to; nothing was written.\n"
    ) in said
    assert files(folder.path / "outputs") == [f"final/{one}" for one in before]


def test_what_a_killed_export_left_is_replaced(folder: Any) -> None:
    left = folder.path / "outputs" / ".final.arriving"
    left.mkdir(parents=True)
    (left / "old.safetensors").write_text("half")
    folder.apply()
    assert files(folder.path / "outputs") == [f"final/{name}" for name in FILES]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('to = "ftp://host/x"', "export.final.to: `ftp:…` is no kind of destination that tune knows."),
        ('to = "hub:name-alone"', "export.final.to: `hub:…` is no kind of destination that tune knows."),
        ('to = "s3://bucket/x?y"', "export.final.to: The URL that starts with `s3://` has a user, a password"),
        (
            'to = "x"\n[export.zeal]\nmodel = "model.base"\nto = "x"',
            "export.zeal.to: export.final goes to `x` too, and one would replace the other.",
        ),
        ('to = "x"\nmax_shard_size = "big"', "export.final.max_shard_size: expected a size, got 'big'."),
    ],
)
def test_what_names_no_place_or_size_is_refused_by_the_plan(folder: Any, written: str, said: str) -> None:
    folder.edit('to = "outputs/final"', written)
    shown = folder.tune("plan", expect=1).stderr
    assert said in " ".join(shown.split())


@pytest.mark.usefixtures("s3_credentials")
def test_an_object_store_gets_the_digests_last_and_only_what_differs(
    folder: Any, s3_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    url = s3_server.new_url()
    folder.edit("outputs/final", url)
    folder.apply()
    store = open_backend(url, folder.path)
    there = {one.name: one.modified for one in store.list("")}
    assert sorted(there) == FILES
    weights = store.get("model.safetensors")
    assert weights is not None
    assert weights.content == (folder.path / "weights" / "model.safetensors").read_bytes()
    # Killed while it exchanged files: the list is gone, and what was to be is named.
    sums = store.get("SHA256SUMS")
    assert sums is not None
    store.put_if_absent("SHA256SUMS.unfinished", sums.content + b"00  old.safetensors\n")
    store.put_if_absent("old.safetensors", b"of an export before")
    store.delete("SHA256SUMS")
    folder.tune("state", "rm", "export.final")
    folder.apply()
    assert [one.name for one in store.list("")] == FILES
    store.put_if_absent("thesis.txt", b"years of work")
    folder.tune("state", "rm", "export.final")
    said = folder.tune("apply", "--auto-approve", expect=1).stderr
    assert "holds `thesis.txt`, which no export of tune put there." in " ".join(said.split())


def test_a_hub_repository_is_created_private_and_changed_in_one_commit(folder: Any, hub_server: Any) -> None:
    folder.edit("outputs/final", "hub:acme/dates")
    folder.apply()
    assert (hub_server.commits, hub_server.private) == (1, {"acme/dates": True})
    assert sorted(hub_server.repositories["acme/dates"]) == [".gitattributes", *FILES]
    assert "Bearer hf_planted" in hub_server.tokens
    folder.tune("state", "rm", "export.final")
    assert "hub:acme/dates holds it already" in folder.tune("apply", "--auto-approve").stdout
    assert hub_server.commits == 1
    (folder.path / "weights" / "LICENSE").unlink()
    write_weights(folder.path / "weights", 3)
    folder.apply()
    assert hub_server.commits == 2
    there = hub_server.repositories["acme/dates"]
    assert sorted(there) == [".gitattributes", *[name for name in FILES if name != "LICENSE"]]
    assert there["model.safetensors"] == (folder.path / "weights" / "model.safetensors").read_bytes()
    there["thesis.txt"] = b"years of work"
    write_weights(folder.path / "weights", 4)
    said = folder.tune("apply", "--auto-approve", expect=1).stderr
    assert "`hub:acme/dates` holds `thesis.txt`, which no export of tune put there." in " ".join(said.split())
    assert "hf_planted" not in (folder.path / ".tune" / "state.json").read_text() + said


def test_large_files_go_to_the_hub_in_parts_before_the_commit_that_names_them(
    folder: Any, hub_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")  # the hub's other way, in a protocol of its own
    hub_server.large = 1_000
    folder.edit("outputs/final", "hub:acme/dates")
    weights = folder.path / "weights" / "model.safetensors"
    content = bytes(range(256)) * 1250
    write_tensors(weights, {"w": TensorLayout("F32", (80_000,))}, lambda _: [memoryview(content)])
    folder.apply()
    there = hub_server.repositories["acme/dates"]
    assert there["model.safetensors"] == weights.read_bytes()
    [parts] = [found for oid, found in hub_server.parts.items() if hub_server.whole[oid] == weights.read_bytes()]
    assert sorted(parts) == [1, 2, 3, 4]
    assert (hub_server.commits, sorted(there)) == (1, [".gitattributes", *FILES])


def test_a_hub_that_refuses_is_quoted_with_what_to_do(folder: Any, hub_server: Any) -> None:
    hub_server.refuses = True
    folder.edit("outputs/final", "hub:acme/dates")
    said = folder.tune("apply", "--auto-approve", expect=1).stderr
    assert "Error: Hub refused [TUNE383]\n  `hub:acme/dates`: " in said
    assert "HF_TOKEN must hold a token that may write to it." in " ".join(said.split())
    assert hub_server.repositories == {}


GATED = """
[export.final]
model = "train.assistant"
to = "outputs/final"
requires = ["eval.assistant"]
dtype = "bfloat16"
"""


def test_fewer_bits_need_what_makes_them_and_leave_nothing_else_to_say(folder: Any) -> None:
    folder.edit('to = "outputs/final"', 'to = "outputs/final"\nquantization = "gguf-Q4_K_M"\nmax_shard_size = "1GB"')
    said = " ".join(folder.tune("validate", expect=1).stderr.split())
    assert "export.final.quantization: a GGUF file is written in one piece, and `max_shard_size` is set." in said
    folder.edit('\nmax_shard_size = "1GB"', "")
    said = " ".join(folder.tune("apply", "--auto-approve", expect=1).stderr.split())
    assert "`convert_hf_to_gguf.py` is not on the PATH" in said
    assert not (folder.path / "outputs").exists()


@pytest.mark.torch
@pytest.mark.slow
def test_a_failed_gate_stops_the_export_and_a_passed_one_lets_an_adapter_out(quickstart: Any) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with (quickstart.path / "recipe.toml").open("a") as recipe:
        recipe.write(GATED)
    quickstart.edit('exact_match = ">= 0.9"', 'exact_match = "> 1"')
    assert "Error: Gate failed" in quickstart.tune("apply", "--auto-approve", expect=3).stderr
    assert not (quickstart.path / "outputs").exists()
    quickstart.edit('exact_match = "> 1"', 'exact_match = ">= 0.9"')
    assert quickstart.apply()["export.final"] == "built"
    exported = quickstart.path / "outputs" / "final"
    config = json.loads((exported / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (None, None)
    base = AutoModelForCausalLM.from_pretrained(quickstart.tune("output", "train.base").stdout.strip())
    adapter = PeftModel.from_pretrained(base, exported).state_dict()
    assert any("lora_B" in name and bool(one.any()) for name, one in adapter.items())
    assert "(eval.assistant)" not in (exported / "README.md").read_text()  # it measured the merge, another model


def test_the_command_that_serves_a_model_is_printed_and_started(
    folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.apply()
    weights = folder.path / "weights"
    printed = folder.tune("serve").stdout
    assert printed == f"vllm serve {weights} --served-model-name model.base\n"
    assert "`pip install vllm`" in folder.tune("serve", "model.base", "--run", expect=1).stderr
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "vllm").write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    (programs / "vllm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    assert folder.tune("serve", "--run", expect=7).stdout == printed.removeprefix("vllm ")
    assert "dataset.x" in folder.tune("serve", "dataset.x", expect=1).stderr
