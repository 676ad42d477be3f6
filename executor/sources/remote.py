"""Rows in object storage (s3://, gs://, az://, https://): listed by name, size and entity tag, fetched once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from executor.sources.file_formats import suffix
from executor.sources.paths import is_glob
from state.canonical import digest
from state.diagnostic import problem
from state.locations import STORES
from state.object_requests import CREDENTIALS, Patience, connect, why
from state.values import frozen
from state.wording import stopped


@frozen
class Object:
    """One object: its address, and what tells its content from any other."""

    address: str
    version: str


def listed(sources: Sequence[str]) -> tuple[Object, ...]:
    """The objects that addresses, patterns and folders (ending with a slash) name; raises ProblemError."""
    _need_obstore(sources[0])
    found: dict[str, Object] = {}
    for source in sources:
        try:
            some = {one.address: one for one in _list(source)}
        except _refusals() as error:
            known = CREDENTIALS.get(source.partition("://")[0])
            credentials = f", and the credentials in the environment ({known})" if known else ""
            hint = f"Check the address, the network{credentials}."
            raise problem("Unreadable source", f"`{source}` cannot be listed: {stopped(_why(error))}", hint) from None
        if not some:
            raise problem("Missing file", f"`{source}` names no object of a known format.")
        found |= some
    return tuple(found.values())


def fetch(objects: Sequence[Object]) -> Path:
    """A folder with all objects in it, downloaded unless an earlier command has done so."""
    folder = folder_for({one.address: one.version for one in objects})
    for one in objects:
        link, kept = folder / _path(one.address), _kept(one)
        if not kept.is_file():
            _download(one, kept)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(kept)
    return folder


def folder_for(versions: Mapping[str, str]) -> Path:
    """Where objects of these versions, by address, lie once they are fetched."""
    return _cache() / "sources" / digest(dict(versions))


def _kept(one: Object) -> Path:
    name = PurePosixPath(urlsplit(one.address).path).name
    return _cache() / "objects" / digest([one.address, one.version]) / name


def _path(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.netloc}{parts.path}".lstrip("/")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tune"


def _list(source: str) -> Iterator[Object]:
    import obstore

    root, key = _split(source)
    store = _store(root)
    if not is_glob(key) and not key.endswith("/"):
        yield _object(f"{root}/{key}", obstore.head(store, key))
        return
    pattern = key if is_glob(key) else f"{key}*"
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]
    entries = [entry for page in obstore.list(store, prefix=prefix or None) for entry in page]
    for entry in sorted(entries, key=lambda one: str(one["path"])):
        path = str(entry["path"])
        if fnmatchcase(path, pattern) and suffix(path):
            yield _object(f"{root}/{path}", entry)


def _object(address: str, entry: Mapping[str, Any]) -> Object:
    told = entry.get("version") or entry.get("e_tag") or entry["last_modified"].isoformat()
    return Object(address, f"{entry['size']} {told}")


def _download(one: Object, target: Path) -> None:
    """Stream an object to a file that appears when it is whole."""
    import obstore

    root, key = _split(one.address)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        answer = obstore.get(_store(root), key)
        if _object(one.address, answer.meta) != one:
            detail = f"`{one.address}` changed while it was being fetched."
            raise problem("Input moved", detail, "Run `tune plan` again.")
        with temporary.open("wb") as file:
            for piece in answer:
                file.write(piece)
        temporary.replace(target)
    except _refusals() as error:
        raise problem("Unreadable source", f"`{one.address}` cannot be fetched: {stopped(_why(error))}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _split(address: str) -> tuple[str, str]:
    """The store and the key in it."""
    scheme, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _store(root: str) -> Any:  # noqa: ANN401  a store of any kind
    from obstore.store import from_url

    client, retry = Patience().of_files()
    if root.partition(":")[0] in STORES:
        return connect(root, "", "", client, retry)
    client["allow_http"] = root.startswith("http://")
    return from_url(root, client_options=client, retry_config=retry)


def _why(error: Exception) -> str:
    return "there is no such object." if isinstance(error, FileNotFoundError) else why(error)


def _refusals() -> tuple[type[Exception], ...]:
    from obstore.exceptions import BaseError

    return (BaseError, OSError, ValueError)


def _need_obstore(source: str) -> None:
    if find_spec("obstore") is None:
        detail = f"Reading `{source}` needs the Python package obstore, which is not installed here."
        raise problem("Missing library", detail, "Install `tuneform[remote]`.")
