"""How an object store is asked, how long it is waited for, and what its failures mean to a person."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from state.diagnostic import ProblemError, problem
from state.secrets import without_secrets
from state.values import frozen
from state.wording import stopped

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

ENDPOINT = {"s3": "endpoint", "gs": "base_url", "az": "endpoint"}
"""The schemes that are understood, and for each the setting that holds another address than the provider's."""
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY",
}
"""Where the credentials of each are usually found."""
ENDPOINT_NAME = re.compile(r"(AWS|GOOGLE|AZURE)_.*(ENDPOINT|BASE_URL)")


@frozen
class Patience:
    """How long a server is waited for; one that says nothing costs a few times this, and then there is a problem."""

    connect_seconds: float = 10.0
    answer_seconds: float = 30.0
    """For the start of an answer, and between two reads of it."""
    part_seconds: float = 180.0
    """For a whole request that moves a part of a file; many of them may share a slow line."""
    retries: int = 5
    retry_seconds: float = 60.0
    """After this time, no request is repeated."""

    def of_questions(self) -> tuple[ClientConfig, RetryConfig]:
        """The library's settings for requests that send little."""
        client, retry = self.of_files()
        client["read_timeout"] = timedelta(seconds=self.answer_seconds)
        retry["retry_timeout"] = timedelta(seconds=self.retry_seconds)
        return client, retry

    def of_files(self) -> tuple[ClientConfig, RetryConfig]:
        """The library's settings for requests that send parts of files: nothing is read until all is sent."""
        connecting, sending = timedelta(seconds=self.connect_seconds), timedelta(seconds=self.part_seconds)
        again = sending + timedelta(seconds=self.retry_seconds)
        return {"connect_timeout": connecting, "timeout": sending}, {
            "max_retries": self.retries,
            "retry_timeout": again,
        }


def connect(url: str, endpoint: str, region: str, client: ClientConfig, retry: RetryConfig) -> ObjectStore:
    """The store that holds the objects below a URL; nothing is sent yet."""
    from obstore.store import from_url

    scheme = url.partition(":")[0]
    settings: Any = {ENDPOINT[scheme]: endpoint} if endpoint else {}
    if scheme == "s3":
        _refuse_two_endpoints(endpoint)
        settings["disable_bulk_delete"] = True  # we delete one at a time, and not every server knows the other request
        if region:
            settings["region"] = region
    named = [endpoint, *(value for name, value in os.environ.items() if ENDPOINT_NAME.match(name))]
    client["allow_http"] = any(one.startswith("http://") for one in named)
    return from_url(url, config=settings, client_options=client, retry_config=retry)


def _refuse_two_endpoints(endpoint: str) -> None:
    """The library lets this variable win over what it is told, and state would be kept in two places unnoticed."""
    if endpoint and os.environ.get("AWS_ENDPOINT_URL_S3", endpoint) != endpoint:
        detail = f"The endpoint is {endpoint}, but AWS_ENDPOINT_URL_S3 in the environment names another one."
        raise problem("Two endpoints", detail, "Unset AWS_ENDPOINT_URL_S3, or name the same endpoint in both places.")


def is_missing_bucket(error: Exception) -> bool:
    """Whether "not found" means the whole bucket: state that cannot be reached, not state that is empty."""
    return re.search("<Code>(NoSuchBucket|ContainerNotFound)</Code>", str(error)) is not None


def missing_library() -> ProblemError:
    """What is said where this installation cannot talk to object stores."""
    detail = "Shared state in an object store needs the library obstore, which is not installed."
    return problem("Missing library", detail, 'Run `pip install "tuneform[remote]"`.')


def unreachable(where: str, name: str, error: Exception) -> ProblemError:
    """What is said of a request that failed for good."""
    place = f"{where.rstrip('/')}/{name}".rstrip("/")
    credentials = CREDENTIALS[where.partition(":")[0]]
    hint = f"Check the URL, the network, and the credentials in the environment ({credentials})."
    return problem("State cannot be reached", f"`{place}`: {stopped(why(error))}", hint)


def why(error: Exception) -> str:
    """The first line of an error and what the server or the system said below it, without durations and queries."""
    line, _, below = str(error).partition("\n")
    line = re.sub(r"^Generic \w+ error: |.*(?=Error performing [A-Z]+ )", "", line)
    line = re.sub(r" in [\d.]+[^\d\s]+(, after .*?)? +- ", ": ", line).partition("<")[0]
    line = re.sub(r"(https?://[^\s?]*)\?[^\s:]*", r"\1", line)
    said = re.search(r"<Code>(.*?)</Code>\s*(?:<Message>(.*?)</Message>)?", str(error), re.DOTALL)
    system = re.search(r'(?:message|error): "(.*?)"', below)
    if said:
        parts = [line, *(part.partition("\n")[0] for part in said.groups() if part)]
    elif "TimedOut" in below:
        parts = [line, "no answer in time"]
    else:
        parts = [line, system[1]] if system else [line]
    return without_secrets(": ".join(part.strip(" :.") for part in parts)) + "."
