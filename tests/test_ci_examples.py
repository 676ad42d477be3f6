"""The workflows for GitHub and GitLab: they parse, their scripts are scripts, and what they call exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from attrs import define, field

from planner import planfile
from tests.fake_kinds import KINDS
from tune.cli import commands
from tune.views.markdown import markdown

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "ci"
WORKFLOWS = sorted([*EXAMPLES.rglob("*.yml")])
GOLDEN = ROOT / "tests" / "planner" / "golden" / "small.plan.json"
PLAN = planfile.loads(GOLDEN.read_text(encoding="utf-8"), "p")
COMMENT = markdown(PLAN, KINDS, "recipe.toml")
SHOWN = str(planfile.to_plain(PLAN)["plan_digest"])


def scripts(value: Any) -> Iterator[str]:
    """Everything that a shell will run."""
    if isinstance(value, list):
        for one in value:
            yield from scripts(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name == "run":
                yield one
            elif name == "script":
                yield "\n".join(one)
            else:
                yield from scripts(one)


def loaded(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_script_is_one(path: Path) -> None:
    found = list(scripts(loaded(path)))
    assert found
    for script in found:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)  # noqa: S607  the shell of the path


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_command_of_tune_has_the_options_that_it_is_given(path: Path) -> None:
    lines = [line.partition(">")[0] for script in scripts(loaded(path)) for line in script.split("\n")]
    called = [shlex.split(line) for line in lines if line.startswith("tune ")]
    assert called
    for _, name, *arguments in called:
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        command.make_context(name, arguments)


def test_the_digest_that_is_applied_is_the_one_that_the_comment_shows() -> None:
    (fetching,) = (one for one in scripts(loaded(EXAMPLES / "github" / "tune-apply.yml")) if "sed" in one)
    found = re.search(r"sed -n '([^']+)'", fetching)
    assert found is not None
    told = COMMENT.replace("learning&#95;rate", "plan digest <code>00000000000000000000000000000000</code>", 1)
    done = subprocess.run(["sed", "-n", found[1]], input=told, text=True, capture_output=True, check=True)  # noqa: S607  as above
    assert done.stdout.splitlines()[-1] == SHOWN


@define
class GitLab:
    """As much of a GitLab as the script asks for: it keeps notes and hands out one merge request with its plan."""

    notes: list[dict[str, Any]] = field(factory=list)
    address: str = ""

    def answer(self, method: str, path: str, body: Any) -> Any:  # noqa: PLR0911  one for each route
        route, _, query = path.removeprefix("/projects/7").partition("?")
        first = "page=1" in query.split("&")
        match method, route.split("/")[1:]:
            case "GET", ["user"]:
                return {"id": 1}
            case "GET", ["merge_requests", "5", "notes"]:
                return self.notes[:100] if first else self.notes[100:200]
            case "POST", ["merge_requests", "5", "notes"]:
                self.notes.append({"id": len(self.notes), "author": {"id": 1}, **body})
                return self.notes[-1]
            case "PUT", ["merge_requests", "5", "notes", number]:
                self.notes[int(number)] |= body
                return self.notes[int(number)]
            case "GET", ["repository", "commits", "merged", "merge_requests"] if first:
                return [{"iid": 4, "state": "closed"}, {"iid": 5, "state": "merged"}]
            case "GET", ["merge_requests", "5"]:
                return {"head_pipeline": {"id": 8}}
            case "GET", ["pipelines", "8", "jobs"] if first:
                return [{"id": 2, "name": "lint"}, {"id": 3, "name": "tune plan"}]
            case "GET", ["jobs", "3", "artifacts", "tune.plan.json"]:
                return {"the": "plan"}
        return []

    def run(self, folder: Path, *arguments: str, commit: str = "merged") -> str:
        environment = {
            **os.environ,
            "CI_API_V4_URL": self.address,
            "CI_PROJECT_ID": "7",
            "CI_MERGE_REQUEST_IID": "5",
            "CI_COMMIT_SHA": commit,
            "TUNE_GITLAB_TOKEN": "token",
        }
        command = [sys.executable, str(EXAMPLES / "gitlab" / "merge_request.py"), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def gitlab() -> Iterator[GitLab]:
    served = GitLab()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            assert self.headers["PRIVATE-TOKEN"] == "token"
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = json.dumps(served.answer(self.command, self.path, json.loads(content or b"null"))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815  the server's names

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        served.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def test_a_merge_request_has_one_note_that_is_put_in_its_own_place(gitlab: GitLab, tmp_path: Path) -> None:
    somebody = {"id": 0, "author": {"id": 2}, "body": COMMENT}
    gitlab.notes += [{**somebody, "id": number} for number in range(120)]
    for text in (COMMENT, COMMENT.replace("2 to rebuild", "3 to rebuild")):
        (tmp_path / "comment.md").write_text(text)
        gitlab.run(tmp_path, "note", "comment.md")
        assert [one["body"] for one in gitlab.notes[120:]] == [text]
    assert [one["body"] for one in gitlab.notes[:120]] == [COMMENT] * 120


def test_what_was_approved_is_the_plan_of_the_merged_request_and_the_digest_of_its_note(
    gitlab: GitLab, tmp_path: Path
) -> None:
    forged = {"id": 0, "author": {"id": 2}, "body": COMMENT.replace(SHOWN, "0" * 32)}
    gitlab.notes += [forged, {"id": 1, "author": {"id": 1}, "body": COMMENT}]
    assert gitlab.run(tmp_path, "approved", "tune.plan.json") == f"{SHOWN}\n"
    assert json.loads((tmp_path / "tune.plan.json").read_text()) == {"the": "plan"}


def test_a_push_that_merged_nothing_approves_nothing(gitlab: GitLab, tmp_path: Path) -> None:
    assert gitlab.run(tmp_path, "approved", "tune.plan.json", commit="other") == ""
    assert list(tmp_path.iterdir()) == []
