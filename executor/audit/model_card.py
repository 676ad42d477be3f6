"""A model card as the Hugging Face hub reads it: YAML in front, Markdown below.

https://huggingface.co/docs/hub/model-cards and https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from executor.audit import card_sections
from executor.audit.card_metadata import card_metadata
from executor.audit.front_matter import front_matter
from executor.audit.subject import AuditedFile, all_materials, subject
from state.diagnostic import problem
from state.record import State

NO_LICENCE: Mapping[str, str] = {}


def make(
    address: str,
    state: State,
    files: Sequence[AuditedFile],
    tool_version: str,
    licence: Mapping[str, str] = NO_LICENCE,
) -> str:
    """The card of a finished model; `files` are those of its artifact, or () where it is not here.

    State knows no licences: `licence` are the hub's fields that name it, as far as somebody does.
    """
    about = subject(address, state)
    if not about.is_model:
        hint = "A bill of materials or a provenance statement can be made of it."
        raise problem("No model", f"{address} is no model, and only models have cards.", hint)
    chain = (about, *all_materials(about, state))
    sections = {
        "Made from": card_sections.made_from(chain[1:]),
        "Training data": card_sections.training_data(chain, state),
        "Settings": card_sections.settings_of(chain),
        "Evaluation": card_sections.evaluation(chain, state),
        "Reproduce": card_sections.reproduce(about, tool_version),
        "Files": card_sections.files_of(about, files),
    }
    lines = [f"# {address}", "", *card_sections.introduction(about, state)]
    for title, body in sections.items():
        lines += ["", f"## {title}", "", *body] if body else []
    text = front_matter({**licence, **card_metadata(about, state)}) + "\n" + "\n".join(lines) + "\n"
    # What Python puts for the undecodable bytes of a file name must not keep the card from being written.
    return text.encode("utf-8", "backslashreplace").decode()
