"""What a pipeline and its merge request say to each other, through GitLab's API and with Python's own library.

merge_request.py note FILE      makes FILE a note of the merge request, or puts it in the place of the one that is there
merge_request.py approved FILE  fetches the plan of the merge request that this commit merged; prints its note's digest
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

PROJECT = f"{os.environ['CI_API_V4_URL']}/projects/{os.environ['CI_PROJECT_ID']}"
PREFIX = "<!-- tune-plan: "
DIGEST = re.compile(r"plan digest <code>([0-9a-f]{32})<")
PAGE = 100


def main() -> None:
    """Do what the first word says."""
    command, file = sys.argv[1:]
    if command == "note":
        note(Path(file).read_text(encoding="utf-8"))
    else:
        approved(Path(file))


def note(text: str) -> None:
    """Write the one note, over the earlier one if there is any."""
    notes = f"/merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes"
    earlier = [one["id"] for one in ours(notes) if one["body"].startswith(text.splitlines()[0])]
    if earlier:
        call("PUT", f"{notes}/{earlier[0]}", {"body": text})
    else:
        call("POST", notes, {"body": text})


def approved(plan: Path) -> None:
    """Fetch the plan, and print the digest that the note showed; nothing where no request was merged."""
    merged = pages(f"/repository/commits/{os.environ['CI_COMMIT_SHA']}/merge_requests")
    request = next((one["iid"] for one in merged if one["state"] == "merged"), None)
    if request is None:
        return
    shown = [DIGEST.findall(one["body"]) for one in ours(f"/merge_requests/{request}/notes")]
    pipeline = json.loads(call("GET", f"/merge_requests/{request}"))["head_pipeline"]["id"]
    job = next(one["id"] for one in pages(f"/pipelines/{pipeline}/jobs") if one["name"] == "tune plan")
    plan.write_bytes(call("GET", f"/jobs/{job}/artifacts/{quote(plan.name)}"))
    print(next(digests[-1] for digests in shown if digests))


def ours(path: str) -> list[Any]:
    """The notes about plans that the token's own user wrote: others may only look as if they had."""
    me = json.loads(call("GET", "/user", base=os.environ["CI_API_V4_URL"]))["id"]
    return [one for one in pages(path) if one["author"]["id"] == me and one["body"].startswith(PREFIX)]


def pages(path: str) -> list[Any]:
    """Everything in a list."""
    found: list[Any] = []
    while len(found) % PAGE == 0:
        more = json.loads(call("GET", f"{path}?per_page={PAGE}&page={len(found) // PAGE + 1}"))
        found += more
        if not more:
            break
    return found


def call(method: str, path: str, body: object = None, base: str = PROJECT) -> bytes:
    """One request; whatever is wrong with it ends the job."""
    headers = {"PRIVATE-TOKEN": os.environ["TUNE_GITLAB_TOKEN"], "Content-Type": "application/json"}
    request = Request(f"{base}{path}", json.dumps(body).encode() if body else None, headers, method=method)  # noqa: S310  the pipeline names the server
    with urlopen(request) as answer:  # noqa: S310  as above
        content: bytes = answer.read()
    return content


if __name__ == "__main__":
    main()
