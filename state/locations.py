"""Where shared state may lie: a URL or a path in a recipe, and the backend that it means."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from state.backend import Backend
from state.diagnostic import ProblemError, problem
from state.folder_backend import FolderBackend

STORES = {"s3": "bucket", "gs": "bucket", "az": "container"}
"""Schemes of object stores, and what the first name in their URLs is."""
INSIDE = re.compile(r"[\w$][\w.-]+(/(?!\.{1,2}(/|$))[^/\x00-\x1f]+)*/?", re.ASCII)
"""What follows `://`: a bucket, and folders in it."""
KNOWN = "Known are `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`, `file:///folder` and paths."


def open_backend(url: str, folder: Path, endpoint: str = "", region: str = "") -> Backend:
    """The backend that a URL means, or a path relative to a folder; nothing is read or sent yet.

    Endpoint and region are those of an object store that is not at its provider's usual address.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", url)
    if scheme is None:
        return FolderBackend(_path(url, folder), where=url)
    if not url.startswith(f"{scheme[1]}://") or scheme[1] not in {*STORES, "file"}:
        raise problem("Unknown location", f"`{scheme[0]}…` is no kind of location that tune knows.", KNOWN)
    _refuse_credentials(url)
    if scheme[1] == "file":
        return FolderBackend(_path_of_file_url(url), where=url)
    return _object_backend(url, scheme[1], endpoint, region)


def _object_backend(url: str, scheme: str, endpoint: str, region: str) -> Backend:
    from state.object_backend import ObjectBackend

    if not INSIDE.fullmatch(url.removeprefix(f"{scheme}://")):
        detail = f"`{scheme}://` is followed by the name of a {STORES[scheme]}, and optionally a folder in it."
        raise problem("Invalid location", detail, KNOWN)
    if region and scheme != "s3":
        raise problem("Invalid location", f"A {STORES[scheme]} of `{scheme}://` has no region.", "Remove the region.")
    if endpoint:
        _refuse_credentials(endpoint)
        if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", endpoint):
            detail = f"The endpoint `{endpoint}` is no URL of a server."
            raise problem("Invalid location", detail, "It is written like `https://host:9000`.")
    return ObjectBackend(url.rstrip("/"), endpoint, region)


def _path(written: str, folder: Path) -> Path:
    try:
        return folder / Path(written).expanduser()
    except RuntimeError:
        raise problem("Invalid location", f"`{written}` names the home of nobody here.", KNOWN) from None


def _path_of_file_url(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        detail = f"`{url}` does not name a folder of this machine."
        raise problem(
            "Invalid location", detail, "An absolute path follows `file://`, so that there are three slashes."
        )
    return Path(unquote(parts.path))


def _refuse_credentials(url: str) -> None:
    """A URL of ours needs no `@`, `?` or `#`: what stands beside them may be a key, and is not repeated."""
    if re.search("[@?#]", url):
        raise _credentials(url.partition("://")[0])


def _credentials(scheme: str) -> ProblemError:
    detail = f"The URL that starts with `{scheme}://` has a user, a password, a query or a fragment."
    hint = "Credentials belong into the environment, and nothing else is written behind the folder's name."
    return problem("Credentials in a URL", detail, hint)
