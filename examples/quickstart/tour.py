"""The quickstart: plans and applies the recipe beside this file, then shows what came out and what to try next."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TUNE = Path(sys.executable).parent / "tune"
ANSWERS = 3
NEXT = """\
What to try next (`{tune}` is the command):

  {tune} plan {here}                           # nothing to do: no changes
  edit learning_rate of [train.assistant] in {here}/recipe.toml, then
  {tune} plan {here}                           # what that costs, and why
  {tune} apply {here}                          # only that is done again
  {tune} state show eval.assistant {here}      # what made this, from which data, how good it is
"""


def main() -> None:
    """Apply, then show."""
    here = HERE.relative_to(Path.cwd()) if HERE.is_relative_to(Path.cwd()) else HERE
    code = subprocess.run([TUNE, "apply", str(here), "--auto-approve"], check=False).returncode  # noqa: S603  our own command
    if code:
        sys.exit(code)
    evaluation = output("eval.assistant", str(here))
    metrics = evaluation["metrics"]
    print("\nOn questions about dates that the model has never seen:")
    print(f"  exact_match {metrics['exact_match']:.2f}   perplexity {metrics['perplexity']:.3f}\n")
    with Path(evaluation["path"], "predictions.jsonl").open(encoding="utf-8") as lines:
        for _, line in zip(range(ANSWERS), lines, strict=False):
            print(f"  {question(json.loads(line)['question'])}\n    {json.loads(line)['answer'].strip()}")
    tune = TUNE.relative_to(Path.cwd()) if TUNE.is_relative_to(Path.cwd()) else TUNE
    print(f"\nThe model is an ordinary Hugging Face folder:\n  {output('merge.assistant', str(here))['path']}\n")
    print(NEXT.format(tune=tune, here=here), end="")


def output(address: str, recipe: str) -> dict[str, Any]:
    """Path and metrics of a finished resource, as `tune output --json` prints them."""
    command = [str(TUNE), "output", address, recipe, "--json"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  as above
    found: dict[str, Any] = json.loads(printed)
    return found


def question(rendered: str) -> str:
    """The last user message in a rendered conversation."""
    return rendered.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")[0]


if __name__ == "__main__":
    main()
