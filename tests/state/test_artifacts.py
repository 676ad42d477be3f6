"""A folder exists when its manifest does, and the manifest says what every file of it must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.artifacts import FileEntry, Manifest, discard_incomplete, publish, read, remove, verify
from state.canonical import digest_bytes

FILES = {"weights.safetensors": b"\x00\x01\x02", "config.json": b"{}", "deep/er/notes.txt": "größer".encode()}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = fill(tmp_path / "artifact", FILES)
    publish(folder, {"made": ["by", 1]})
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_the_manifest_names_every_file_with_size_and_digest(folder: Path) -> None:
    assert read(folder) == Manifest(
        (
            FileEntry("config.json", 2, digest_bytes(b"{}")),
            FileEntry("deep/er/notes.txt", 8, digest_bytes("größer".encode())),
            FileEntry("weights.safetensors", 3, digest_bytes(b"\x00\x01\x02")),
        ),
        {"made": ["by", 1]},
    )
    assert verify(folder) == ()


def test_the_manifest_is_a_file_for_people_too(folder: Path) -> None:
    assert (folder / "manifest.json").read_text().splitlines()[:7] == [
        "{",
        ' "files": [',
        "  {",
        f'   "digest": "{digest_bytes(b"{}")}",',
        '   "path": "config.json",',
        '   "size": 2',
        "  },",
    ]


def test_without_its_manifest_a_folder_does_not_exist(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert read(folder) is None
    assert verify(folder) == ("manifest.json",)


@pytest.mark.parametrize("name", FILES)
def test_with_a_file_missing_it_does_not_exist(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert read(folder) is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}x"])
def test_with_a_file_of_another_size_it_does_not_exist(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert read(folder) is None


def test_a_flipped_byte_is_found_when_the_bytes_are_verified(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"\x00\x01\x03")
    assert read(folder) is not None
    assert verify(folder) == ("weights.safetensors",)


def test_a_file_that_nobody_published_makes_no_difference(folder: Path) -> None:
    (folder / "later.log").write_text("hello")
    assert read(folder) is not None
    assert verify(folder) == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"files": 7}',
        b'{"files": [7]}',
        b'{"files": [{}]}',
        b'{"files": [], "surprise": 1}',
        b'{"files": [], "format": "tune-manifest/2"}',
        b"\xff\xfe",
        b'{"files": null}',
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_none(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert read(folder) is None


@pytest.mark.parametrize("path", ["../secret", "deep/../../secret", "deep/er/../../../secret", "..", "/"])
def test_a_manifest_that_reaches_out_of_its_folder_is_none(folder: Path, path: str) -> None:
    fill(folder.parent, {"secret": b"secret"})
    size = (folder / path).stat().st_size
    rewrite(folder, files=[{"path": path, "size": size, "digest": "0"}])
    assert read(folder) is None


def test_a_manifest_that_names_its_folder_in_full_is_none(folder: Path) -> None:
    rewrite(folder, files=[{"path": str(folder / "config.json"), "size": 2, "digest": "0"}])
    assert read(folder) is None


@settings(max_examples=20, deadline=None)
@given(st.permutations(sorted(FILES)))
def test_the_digest_does_not_depend_on_the_order_in_which_files_were_written(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    one = fill(tmp_path_factory.mktemp("one"), FILES)
    other = fill(tmp_path_factory.mktemp("other"), {name: FILES[name] for name in names})
    assert publish(one, {}).digest == publish(other, {"another": "note"}).digest


def test_the_digest_counts_names_and_bytes(tmp_path: Path) -> None:
    variants: list[dict[str, bytes]] = [{}, {"a": b"1"}, {"b": b"1"}, {"a": b"2"}, {"a": b""}, {"a/b": b"1"}]
    digests = {publish(fill(tmp_path / str(n), {"x": b"", **files}), {}).digest for n, files in enumerate(variants)}
    assert len(digests) == len(variants)


def test_a_manifest_further_down_is_a_file_like_any_other(tmp_path: Path) -> None:
    folder = fill(tmp_path, {"deep/manifest.json": b"{}"})
    assert [entry.path for entry in publish(folder, {}).files] == ["deep/manifest.json"]


def test_publishing_again_gives_the_same_manifest(folder: Path) -> None:
    first = read(folder)
    assert publish(folder, {"made": ["by", 1]}) == first


def test_discarding_keeps_what_is_complete_and_removes_the_rest(folder: Path) -> None:
    discard_incomplete(folder)
    assert verify(folder) == ()
    (folder / "config.json").unlink()
    discard_incomplete(folder)
    assert not folder.exists()
    discard_incomplete(folder)


def test_removing_leaves_nothing(folder: Path) -> None:
    remove(folder)
    assert not folder.exists()
    remove(folder)
