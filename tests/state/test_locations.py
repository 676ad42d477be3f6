"""Where shared state may lie: which backend a URL or a path means, and what is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.diagnostic import ProblemError
from state.folder_backend import FolderBackend
from state.locations import open_backend
from state.object_backend import ObjectBackend
from tests.s3_server import S3Server

HERE = Path("/recipes/support")
KNOWN = "Known are `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, `file:///folder` and paths."
ENVIRONMENT = "Credentials belong into the environment, and nothing else is written behind the folder's name."


def refused(url: str, endpoint: str = "", region: str = "") -> tuple[str, str, str]:
    with pytest.raises(ProblemError) as caught:
        open_backend(url, HERE, endpoint, region)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.summary, diagnostic.detail, diagnostic.hint


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/mnt/team", "/mnt/team"),
        ("../team state", "/recipes/support/../team state"),
        ("~/team", "/home/ada/team"),
        ("a@b?c#d", "/recipes/support/a@b?c#d"),
        ("file:///mnt/team", "/mnt/team"),
        ("file://localhost/mnt/a%20b", "/mnt/a b"),
    ],
)
def test_a_path_is_a_folder(monkeypatch: pytest.MonkeyPatch, written: str, meant: str) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert open_backend(written, HERE) == FolderBackend(Path(meant), where=written)


@pytest.mark.parametrize("url", ["s3://team", "s3://team/a/b c/ü", "gs://my_team.example/a", "az://$web/a"])
def test_a_url_of_an_object_store_is_an_object_backend(url: str) -> None:
    assert open_backend(url, HERE) == ObjectBackend(url)
    assert open_backend(f"{url}/", HERE, "https://host:9000/x") == ObjectBackend(url, "https://host:9000/x")


def test_a_region_is_passed_on() -> None:
    assert open_backend("s3://team/a", HERE, region="eu-west-1") == ObjectBackend("s3://team/a", region="eu-west-1")
    assert refused("gs://team/a", region="eu-west-1") == (
        "Invalid location",
        "A bucket of `gs://` has no region.",
        "Remove the region.",
    )


@pytest.mark.parametrize("url", ["ftp://host/folder", "S3://team/a", "s3:/team/a", "s3:team", "http://host/x", "c+d:x"])
def test_what_is_not_known_is_refused_with_what_is(url: str) -> None:
    scheme = url.partition(":")[0]
    assert refused(url) == ("Unknown location", f"`{scheme}:…` is no kind of location that tune knows.", KNOWN)


@pytest.mark.parametrize(
    "rest", ["", "/", "/a", "b", "te am/a", "team//a", "team/../a", "team/./a", "team:80/a", "ü/a"]
)
def test_a_url_without_a_bucket_or_with_a_strange_folder_is_refused(rest: str) -> None:
    detail = "`az://` is followed by the name of a container, and optionally a folder in it."
    assert refused(f"az://{rest}") == ("Invalid location", detail, KNOWN)


@pytest.mark.parametrize(
    ("url", "detail", "hint"),
    [
        (
            "file://host/folder",
            "`file://host/folder` does not name a folder of this machine.",
            "An absolute path follows `file://`, so that there are three slashes.",
        ),
        ("~nobody-of-that-name/team", "`~nobody-of-that-name/team` names the home of nobody here.", KNOWN),
    ],
)
def test_a_folder_that_is_not_of_this_machine_is_refused(url: str, detail: str, hint: str) -> None:
    assert refused(url) == ("Invalid location", detail, hint)


def test_an_endpoint_is_the_url_of_a_server() -> None:
    assert refused("s3://team/a", "host:9000") == (
        "Invalid location",
        "The endpoint `host:9000` is no URL of a server.",
        "It is written like `https://host:9000`.",
    )


@given(
    shape=st.sampled_from(
        [
            "s3://AKIA:{}@team/a",
            "s3://{}@team/a",
            "s3://team/a?X-Amz-Signature={}",
            "gs://team/a?token={}",
            "az://team/a?sig={}",
            "s3://team/a#{}",
            "file://ada:{}@host/a",
        ]
    ),
    secret=st.text("abc/+=%:@?#é", min_size=4).map(lambda text: f"planted{text}"),
)
def test_credentials_in_a_url_are_refused_and_not_repeated(shape: str, secret: str) -> None:
    url = shape.format(secret)
    detail = f"The URL that starts with `{url.partition('://')[0]}://` has a user, a password, a query or a fragment."
    assert refused(url) == ("Credentials in a URL", detail, ENVIRONMENT)
    assert refused("s3://team/a", url.replace("s3:", "https:")) == (
        "Credentials in a URL",
        detail.replace("s3:", "https:"),
        ENVIRONMENT,
    )


@given(secret=st.text("abc/+=%:@?#", min_size=4).map(lambda text: f"planted{text}"))
def test_what_stands_in_place_of_a_bucket_is_not_repeated(secret: str) -> None:
    assert all("planted" not in one for one in refused(f"s3://AKIA:{secret}"))


@pytest.mark.usefixtures("s3_credentials")
def test_an_opened_location_works(s3_server: S3Server, tmp_path: Path) -> None:
    for backend in (open_backend("state", tmp_path), open_backend(s3_server.new_url(), tmp_path, s3_server.endpoint)):
        backend.put_if_absent("state.json", b"{}")
        assert [one.name for one in backend.list("")] == ["state.json"]
    assert (tmp_path / "state" / "state.json").read_bytes() == b"{}"
