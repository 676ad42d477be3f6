"""An object store as a place for shared state: S3, Google Cloud Storage or Azure, and what speaks their protocols."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, TypeVar

from attrs import evolve

from state.backend import Backend, ConflictError, Listed, Moved, Stored
from state.object_requests import Patience, connect, is_missing_bucket, missing_library, unreachable
from state.values import frozen

if TYPE_CHECKING:
    from obstore import Bytes, ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ObjectStore

    Condition: TypeAlias = Literal["create"] | UpdateVersion

T = TypeVar("T")
PIECE = 1 << 20
PART = 5 << 20
"""Bytes of a file in one request, the least that S3 takes: what has to be sent again when a request breaks off."""
MOST_PARTS = 10_000
"""Parts that an upload may have, <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>."""
REPETITIONS = 2
"""Of a conditional write that failed; each waits and repeats as `Patience` says."""
CONCURRENT = 4
"""Parts of a file that are on their way at a time; with `PART`, this bounds the memory too."""


@frozen
class ObjectBackend(Backend):
    """Objects below a URL; credentials come from the environment, as the provider's own tools read them."""

    where: str
    """The URL, `s3://bucket/folder`; it holds no secrets."""
    endpoint: str = ""
    """Where the server is, if not at the provider's address: MinIO, R2 and others."""
    region: str = ""
    patience: Patience = Patience()
    part: int = PART

    def get(self, name: str) -> Stored | None:
        """An object, or None if there is none."""
        return self._ask(name, lambda: self._get(name))

    def put_if_absent(self, name: str, content: bytes) -> str:
        """Create an object; ConflictError if there is one of other content."""
        try:
            return self._ask(name, lambda: self._put(name, content, "create"))
        except ConflictError:
            there = self.get(name)
            if there is None or there.content != content:
                raise
            return there.version

    def put_if_match(self, name: str, content: bytes, version: str) -> str:
        """Replace an object of this version; ConflictError if it is another."""
        return self._ask(name, lambda: self._put(name, content, json.loads(version)))

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects in a folder, sorted by name."""
        return self._ask(prefix, lambda: self._list(prefix))

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens if there is none."""
        self._ask(name, lambda: self._delete(name))

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None if there is none."""
        return self._ask(name, lambda: self._size(name))

    def upload(self, name: str, path: Path, moved: Moved) -> None:
        """Store a file in parts; it appears under its name when all of it has arrived."""
        with path.open("rb") as file, self._reporting(name):
            self._upload(name, file, moved)

    def download(self, name: str, path: Path, moved: Moved) -> None:
        """Append to a file what it lacks of an object: parts that are fetched side by side, in their order."""
        size = self.size(name)
        if size is None:
            raise FileNotFoundError(name)
        coming: deque[Future[Bytes]] = deque()
        with path.open("ab") as file, self._reporting(name):
            for start in range(file.tell(), size, self.part):
                coming.append(_begin(partial(self._part, name, start, min(start + self.part, size))))
                if len(coming) == CONCURRENT:
                    _append(file, coming.popleft().result(), moved)
            while coming:
                _append(file, coming.popleft().result(), moved)
            file.flush()
            os.fsync(file.fileno())

    def _get(self, name: str) -> Stored | None:
        import obstore

        try:
            found = obstore.get(self._patient, name)
            content = bytes(found.bytes())
        except FileNotFoundError as error:
            self._ask_for_bucket(name, error)
            return None
        return Stored(content, _version(found.meta))

    def _put(self, name: str, content: bytes, condition: Condition) -> str:
        """Send a conditional write; once an answer was lost, what is stored decides what became of it.

        Only the first request has no repetition that we do not see, so its refusal is certain to be somebody else's
        doing, even if they wrote the same bytes.
        """
        from obstore.exceptions import BaseError

        for store in (self._hasty, *[self._patient] * REPETITIONS):
            try:
                return self._put_over(store, name, content, condition)
            except (BaseError, ConflictError) as error:
                failure = error
            refused = isinstance(failure, ConflictError)
            if refused and store is self._hasty:
                break
            there = self._get(name)  # which waits until the server answers again
            if there is not None and there.content == content:
                return there.version
            if refused:
                break
        raise failure

    def _put_over(self, store: ObjectStore, name: str, content: bytes, condition: Condition) -> str:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            done = obstore.put(store, name, content, mode=condition, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            self._ask_for_bucket(name, error)
            raise ConflictError(name) from None
        return _version(done)

    def _list(self, prefix: str) -> Iterator[Listed]:
        import obstore

        found = (one for one in obstore.list(self._patient, prefix).collect() if one["path"])
        listed = (Listed(one["path"], one["size"], one["last_modified"].timestamp()) for one in found)
        return iter(sorted(listed, key=lambda one: one.name))

    def _delete(self, name: str) -> None:
        import obstore

        try:
            obstore.delete(self._patient, name)
        except FileNotFoundError as error:
            self._ask_for_bucket(name, error)

    def _size(self, name: str) -> int | None:
        import obstore

        try:
            return obstore.head(self._patient, name)["size"]
        except FileNotFoundError:
            return None

    def _upload(self, name: str, file: BinaryIO, moved: Moved) -> None:
        import obstore
        from obstore.exceptions import BaseError

        size = os.fstat(file.fileno()).st_size
        part = max(self.part, -(-size // MOST_PARTS))
        whole = size <= part
        content = file.read() if whole else _pieces(file, moved)
        try:
            obstore.put(
                self._sender, name, content, use_multipart=not whole, chunk_size=part, max_concurrency=CONCURRENT
            )
        except (BaseError, FileNotFoundError) as error:
            if self._size(name) != size:  # else only the answer was lost
                raise unreachable(self.where, name, error) from None
        if whole:
            moved(size)

    def _part(self, name: str, start: int, end: int) -> Bytes:
        import obstore

        try:
            return obstore.get_range(self._patient, name, start=start, end=end)
        except FileNotFoundError:
            raise FileNotFoundError(name) from None

    @cached_property
    def _patient(self) -> ObjectStore:
        """For what may be repeated without being noticed."""
        return connect(self.where, self.endpoint, self.region, *self.patience.of_questions())

    @cached_property
    def _hasty(self) -> ObjectStore:
        """For a request that is sent once, so that its answer is about itself."""
        once = evolve(self.patience, retries=0)
        return connect(self.where, self.endpoint, self.region, *once.of_questions())

    @cached_property
    def _sender(self) -> ObjectStore:
        """For files."""
        return connect(self.where, self.endpoint, self.region, *self.patience.of_files())

    def _ask(self, name: str, work: Callable[[], T]) -> T:
        with self._reporting(name):
            return _begin(work).result()

    @contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        """What the server or the line to it refuses is a problem, never a traceback."""
        try:
            from obstore.exceptions import BaseError
        except ModuleNotFoundError:
            raise missing_library() from None
        try:
            yield
        except BaseError as error:
            raise unreachable(self.where, name, error) from None

    def _ask_for_bucket(self, name: str, error: Exception) -> None:
        if is_missing_bucket(error):
            raise unreachable(self.where, name, error) from None


def _begin(work: Callable[[], T]) -> Future[T]:
    """Do something in a thread that ends with the process: whoever waits for its result hears Ctrl-C meanwhile."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # for whoever waits
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _pieces(file: BinaryIO, moved: Moved) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece
        moved(len(piece))


def _append(file: BinaryIO, content: Bytes, moved: Moved) -> None:
    file.write(content)
    moved(len(content))


def _version(found: ObjectMeta | PutResult) -> str:
    """Whatever the kind of store compares: S3 and Azure the entity tag, Google the generation."""
    return json.dumps({key: found[key] for key in ("e_tag", "version") if found[key] is not None})
