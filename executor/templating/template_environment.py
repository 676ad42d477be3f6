"""Jinja's sandbox with what transformers gives to chat templates, but for the clock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.ext import Extension

NOTE = "note generated"
"""The variable through which a rendering hears of what was generated; no template can name it, because of the space."""
_OF_DICTIONARIES = frozenset(dir(dict))
DATE = datetime(2024, 7, 26, tzinfo=UTC)
"""What `strftime_now` tells templates that write the date into a system prompt (Llama 3, gpt-oss).

Tokens must not depend on the day on which they are made; this is the date that Llama 3.1's template falls back to.
"""


def environment() -> Environment:
    """Jinja's sandbox with what transformers gives to templates."""
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols

    def fail(message: str) -> None:
        raise TemplateError(message)

    def to_json(
        value: object,
        ensure_ascii: bool = False,  # noqa: FBT001, FBT002  templates may pass it by position, as to transformers
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,  # noqa: FBT001, FBT002  as above
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def fixed_date(form: str) -> str:
        return DATE.strftime(form)

    extensions = [_generation(), loopcontrols]
    made = _sandbox()(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
    made.filters["tojson"] = to_json
    made.globals["raise_exception"] = fail
    made.globals["strftime_now"] = fixed_date
    return made


def _sandbox() -> type[Environment]:
    """Jinja's sandbox, with a short way to what templates look up most: a name in a message, there or not."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401  jinja2's signature
            if type(obj) is dict and attribute not in _OF_DICTIONARIES:
                return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
            return super().getattr(obj, attribute)

    return Sandbox


def _generation() -> type[Extension]:
    """The tag `{% generation %}`, which notes what is written up to `{% endgeneration %}`."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

        def parse(self, parser: Any) -> nodes.Node:  # noqa: ANN401  jinja2 has no public type for it
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            note = self.call_method("note", [nodes.ContextReference()])
            return nodes.CallBlock(note, [], [], body).set_lineno(line)

        def note(self, context: Any, caller: Any) -> str:  # noqa: ANN401  jinja2's own
            said: str = caller()
            context[NOTE](said)
            return said

    return Generation
