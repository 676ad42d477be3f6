"""A folder that may leave the house: a model's files, its papers, the licences of its base, and a list of digests."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from executor.audit.papers import CARD, FILES, audited, paper, sha256
from executor.kinds.model import delivered
from executor.merging.lora_merge import MODEL_FILES
from executor.models.model_files import CONFIGURATIONS, copy_tokenizer
from executor.models.resharding import write_weights
from executor.models.shards import AS_IT_IS
from executor.models.trust import trusts
from executor.publishing.calibrated_weights import Calibration, write_calibrated
from executor.publishing.quantized_weights import write_quantized
from executor.tokens.token_files import TRAIN, read_columns
from executor.workers.task import Input, Task
from state.canonical import digest_bytes
from state.durable import sync_tree, write_atomically
from state.record import Record, State

SUMS = "SHA256SUMS"
"""As sha256sum writes and checks it; written last, and covers every other file."""
AUDIT = "audit"
NESTED = 2
"""How far below the list of digests a file of an export may lie."""
LICENCES = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "USE_POLICY*")
_LICENCE_FIELD = re.compile(r"^(license|license_name|license_link): *[\"']?([^\"'\n]+?)[\"']? *$", re.MULTILINE)


def write(task: Task, folder: Path) -> bytes:
    """Fill an empty folder for a task of the kind `export`; the content of its list of digests."""
    root, model = task.one("tokenizer"), task.inputs["model"][-1]
    quantization, max_shard_size = str(task.settings["quantization"]), str(task.settings["max_shard_size"])
    _copy_rest(Path(model.folder), folder)
    if quantization == "none":
        write_weights(Path(model.folder), folder, str(task.settings["dtype"]), max_shard_size)
    elif "calibration" in task.inputs:
        rows = read_columns(Path(task.one("calibration").folder), TRAIN)["input_ids"]
        count, tokenizer = cast("int", task.settings["calibration_rows"]), delivered(root, Path(task.recipe_folder))[0]
        shown, trusted = Calibration(rows[:count], tokenizer), trusts([model])
        write_calibrated(Path(model.folder), folder, quantization, max_shard_size, shown, trusted=trusted)
    else:
        write_quantized(Path(model.folder), folder, quantization, max_shard_size, trusted=trusts([model]))
    copy_tokenizer(*delivered(root, Path(task.recipe_folder)), folder)
    _edit_configuration(folder, task.inputs["model"], task.records, str(task.settings["dtype"]))
    for path in _licence_files(Path(root.folder)):
        shutil.copyfile(path, folder / path.name)
    _write_papers(task, folder, model.address, _licence(str(task.settings["license"]), Path(root.folder)))
    sync_tree(folder)
    sums = "".join(f"{sha256(folder / path)}  {path}\n" for path in files_of(folder)).encode()
    write_atomically(folder / SUMS, sums)
    return sums


def files_of(folder: Path) -> list[str]:
    """Every file below a folder by its relative path, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def read_sums(content: bytes) -> dict[str, str]:
    """The digest of every file that a list names; nothing for what is no such list."""
    lines = (line.partition("  ") for line in content.decode(errors="replace").splitlines())
    return {path: digest for digest, _, path in lines if path}


def is_whole(folder: Path, record: Record) -> bool:
    """Whether a folder holds what a record says was exported, as far as names and sizes tell."""
    named = _exported(folder, record)
    there = [path for name in (*named, SUMS) if (path := folder / name).is_file()] if named else []
    return bool(there) and sum(path.stat().st_size for path in there) == record.facts.get("bytes")


def changed(folder: Path, record: Record) -> list[str]:
    """The files of an exported folder that are not what was exported, every byte read."""
    named = _exported(folder, record)
    if not named:
        return [SUMS]
    return [name for name, one in named.items() if not (folder / name).is_file() or sha256(folder / name) != one]


def _exported(folder: Path, record: Record) -> dict[str, str]:
    """The digests of the files that were exported to a folder; nothing where its list is gone or another one."""
    sums = folder / SUMS
    content = sums.read_bytes() if sums.is_file() else b""
    return read_sums(content) if digest_bytes(content) == record.output_digest else {}


def list_with(path: Path) -> Path | None:
    """The list of digests of an export that names a file as it is; None where none above it does."""
    for folder in path.absolute().parents[:NESTED]:
        sums = folder / SUMS
        if sums.is_file():
            named = read_sums(sums.read_bytes()).get(path.absolute().relative_to(folder).as_posix())
            return sums if named is not None and named == sha256(path) else None
    return None


def _copy_rest(source: Path, folder: Path) -> None:
    for pattern in (*CONFIGURATIONS, *MODEL_FILES):
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, folder / path.name)


def _edit_configuration(
    folder: Path, foundations: tuple[Input, ...], records: Mapping[str, Record], dtype: str
) -> None:
    """Name the dtype that was written, and in an adapter its base by hub id and commit, never a folder of ours."""
    config = folder / "config.json"
    if dtype != AS_IT_IS and config.is_file():
        loaded = {name: value for name, value in json.loads(config.read_bytes()).items() if name != "torch_dtype"}
        _write_json(config, {**loaded, "dtype": dtype})
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base, on_base_alone = records[foundations[0].address], len(foundations) == 2  # noqa: PLR2004  base and adapter
        commit = base.content.get("commit") if on_base_alone and not base.artifact else None
        name = base.settings["source"] if commit else None
        _write_json(adapter, {**json.loads(adapter.read_bytes()), "base_model_name_or_path": name, "revision": commit})


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _licence_files(base: Path) -> list[Path]:
    return sorted({path for pattern in LICENCES for path in base.glob(pattern) if path.is_file()})


def _licence(chosen: str, base: Path) -> dict[str, str]:
    """The hub's fields for a licence: what the recipe says, else what the base's own card says."""
    if chosen:
        return {"license": chosen}
    card = base / FILES[CARD]
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = text.split("\n---", 1)[0] if text.startswith("---\n") else ""
    return dict(_LICENCE_FIELD.findall(front))


def _write_papers(task: Task, folder: Path, address: str, licence: Mapping[str, str]) -> None:
    """The card where everybody looks for it, the other papers beside; all of them speak of the files that are here."""
    state = State("", 0, dict(task.records))
    files = tuple(audited(folder, path) for path in files_of(folder))
    (folder / AUDIT).mkdir()
    for form, name in FILES.items():
        path = folder / name if form == CARD else folder / AUDIT / name
        path.write_bytes(paper(form, address, state, files, task.tool, licence))
