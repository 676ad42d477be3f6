"""A folder exists when its manifest does, and the manifest says what every file of it must be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.artifacts import FileEntry, Manifest, discard_incomplete, parse, publish, read, remove, to_bytes, verify
from state.canonical import digest, digest_bytes
from state.diagnostic import Diagnostic, Place, ProblemError
from tests.state.examples import FLIPS, damage, tear

GOLDEN = Path(__file__).parent / "golden" / "v1-manifest.json"

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


def signed(folder: Path, **changes: Any) -> None:
    """A manifest that matches its own digest, whatever it says."""
    body = json.loads((folder / "manifest.json").read_bytes()) | changes
    del body["digest"]
    text = json.dumps({**body, "digest": digest(body)}, indent=1, sort_keys=True)
    (folder / "manifest.json").write_text(text + "\n")


def refused(folder: Path) -> str:
    """Why a manifest is not trusted; nothing is done to its folder because of it."""
    kept = sorted(folder.rglob("*"))
    details = set()
    for use in (read, verify, discard_incomplete):
        with pytest.raises(ProblemError) as caught:
            use(folder)
        (diagnostic,) = caught.value.diagnostics
        hint = "Remove its folder to have what it describes made again; `tune state verify` checks all artifacts."
        assert (diagnostic.summary, diagnostic.hint) == ("Damaged manifest", hint)
        assert diagnostic.place == Place(str(folder / "manifest.json"))
        details.add(diagnostic.detail)
    assert sorted(folder.rglob("*")) == kept
    (detail,) = details
    return detail.removeprefix("The manifest cannot be trusted: ")


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


def test_a_manifest_is_written_as_it_always_was(folder: Path) -> None:
    assert (folder / "manifest.json").read_bytes() == GOLDEN.read_bytes()
    assert to_bytes(parse(GOLDEN.read_bytes(), "manifest.json")) == GOLDEN.read_bytes()


def test_a_manifest_sums_up_what_it_holds(folder: Path) -> None:
    manifest = read(folder)
    assert manifest is not None
    assert manifest.size == 13
    assert manifest.digests == {name: digest_bytes(content) for name, content in FILES.items()}


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


@pytest.mark.parametrize("mask", FLIPS)
def test_no_flipped_byte_of_a_manifest_is_read(tmp_path: Path, mask: int) -> None:
    publish(fill(tmp_path, {"a": b"1"}), {"loss": 1e-7, "text": "größer"})
    for _ in damage(tmp_path / "manifest.json", mask):
        refused(tmp_path)
    assert verify(tmp_path) == ()


def test_no_torn_manifest_is_read(tmp_path: Path) -> None:
    publish(fill(tmp_path, {"a": b"1"}), {})
    for _ in tear(tmp_path / "manifest.json"):
        refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"7", b"{}", b'{"files": 7}', b'{"files": [], "surprise": 1}', b"\xff\xfe"),
        *(b"[" * 100_000, b'{"format": "tune-manifest/1"}', b'{"format": "tune-manifest/1", "digest": NaN}'),
    ],
)
def test_what_is_no_manifest_is_a_problem_that_names_it(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    assert refused(folder).startswith(("it is no manifest: ", "its content does not match its own digest"))


@pytest.mark.parametrize(
    "changes", [{"surprise": 1}, {"files": 7}, {"files": [7]}, {"files": [{}]}, {"files": None}, {"notes": 7}]
)
def test_a_manifest_of_another_shape_is_a_problem_even_if_its_digest_is_right(
    folder: Path, changes: dict[str, Any]
) -> None:
    signed(folder, **changes)
    assert refused(folder).startswith("it is no manifest: ")


def test_an_edited_manifest_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"by"', '"me"'))
    assert refused(folder) == "its content does not match its own digest: it was edited or damaged."
    path.write_text(json.dumps(json.loads(GOLDEN.read_bytes())))
    assert refused(folder) == "its content does not match its own digest: it was edited or damaged."


def test_a_manifest_of_a_newer_format_is_refused_by_its_format(folder: Path) -> None:
    signed(folder, format="tune-manifest/2")
    assert refused(folder) == "it has the format 'tune-manifest/2', and this tune reads tune-manifest/1."


@pytest.mark.parametrize("path", ["../secret", "deep/../../secret", "deep/er/../../../secret", "..", "/", "", "a\0b"])
def test_a_manifest_that_reaches_out_of_its_folder_is_refused(folder: Path, path: str) -> None:
    fill(folder.parent, {"secret": b"secret"})
    signed(folder, files=[{"path": path, "size": 6, "digest": "0"}])
    assert refused(folder) == f"it names {path!a}, which leads out of its folder."


def test_a_manifest_that_names_its_folder_in_full_is_refused(folder: Path) -> None:
    signed(folder, files=[{"path": str(folder / "config.json"), "size": 2, "digest": "0"}])
    assert refused(folder).startswith("it names '/")


def test_a_manifest_that_cannot_be_opened_is_a_problem_that_names_it(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").mkdir()
    with pytest.raises(ProblemError) as caught:
        read(folder)
    assert caught.value.diagnostics == (
        Diagnostic(
            "Unreadable manifest",
            "The manifest cannot be read: Is a directory.",
            "Make it readable, or remove its folder.",
            Place(str(folder / "manifest.json")),
        ),
    )


@settings(max_examples=5)
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
