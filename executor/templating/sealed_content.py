"""Contents that a template may write but not look at: what it writes around them is the same for any content.

A template is rendered once with these in place of what messages say. If it only ever writes them, joins them to other
texts and trims them, the rendering proves what it writes around every content. What it asks of them beyond that is
either noted as a condition under which the proof holds (that a content does not hold `</think>`), or ends the proof.
All contents are taken to be more than white space.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from attrs import evolve, field

from executor.templating.looking import SealedLength, looked_at
from executor.templating.template_environment import environment
from state.values import frozen

if TYPE_CHECKING:
    from jinja2 import Template

Test: TypeAlias = Callable[..., bool]
EDGE = "\ue001"
"""Stands on both sides of a slot's number in a rendering; for private use in Unicode."""
_SLOT = re.compile(f"{EDGE}([0-9]+){EDGE}")
_OF_TEXTS = {
    **dict.fromkeys(("string", "defined", "iterable", "sequence"), True),
    **dict.fromkeys(("undefined", "none", "mapping", "number", "integer", "float", "boolean"), False),
    **dict.fromkeys(("true", "false", "callable"), False),
}
"""What Jinja's tests say of every text that is not empty."""


@frozen
class Slot:
    """The place of one message's content, and the characters that are trimmed from its start and end."""

    index: int
    left: str | None = ""
    """None for all white space, as in `str.lstrip`."""
    right: str | None = ""

    def fill(self, content: str) -> str:
        """What is written of a content."""
        return content.lstrip(self.left).rstrip(self.right)


@frozen
class Slots:
    """All slots that one rendering writes, and what no content may hold for it to be proved."""

    written: list[Slot] = field(factory=list)
    absent: dict[str, None] = field(factory=dict)

    def contents(self, count: int) -> list[Sealed]:
        """The contents of that many messages, for a proof that begins anew."""
        self.written.clear()
        self.absent.clear()
        return [Sealed((Slot(index),), self) for index in range(count)]

    def sealed(self, value: object) -> object:
        """A text with slots in it, as a macro makes them, as what it stands for; any other value as it is."""
        if type(value) is not str or EDGE not in value:
            return value
        return Sealed(tuple(part for part, _ in self.split(value) if part), self)

    def split(self, text: str) -> list[tuple[str | Slot, int]]:
        """A rendering as texts and slots in turns, each with the characters that it takes in the rendering."""
        parts = enumerate(_SLOT.split(text))
        return [(self.written[int(one)], len(one) + 2) if at % 2 else (one, len(one)) for at, one in parts]

    def numbered(self, value: object) -> object:
        """What stands in a rendering for a value that is written."""
        if not isinstance(value, Sealed):
            return value
        return "".join(part if isinstance(part, str) else self._mark(part) for part in value.parts)

    def _mark(self, slot: Slot) -> str:
        self.written.append(slot)
        return f"{EDGE}{len(self.written) - 1}{EDGE}"


@frozen(eq=False, repr=False)
class Sealed:
    """A text that holds the contents of messages, none of which can be told from any other.

    Whatever Python or Jinja would do with it that is not here ends the proof.
    """

    parts: tuple[str | Slot, ...]
    _slots: Slots

    def __add__(self, other: object) -> Sealed:
        """Join a text or another."""
        return Sealed((*self.parts, *_parts(other)), self._slots)

    def __radd__(self, other: object) -> Sealed:
        """Join a text."""
        return Sealed((*_parts(other), *self.parts), self._slots)

    def __bool__(self) -> bool:
        """Not empty."""
        return True

    def __contains__(self, text: object) -> bool:
        """As of a text without it."""
        return self._holds(text)

    def __eq__(self, other: object) -> bool:
        """Something at least."""
        return looked_at() if other is not None else False

    def __hash__(self) -> int:
        """None: a key is looked at."""
        return looked_at()

    def __ne__(self, other: object) -> bool:
        """Something at least."""
        return not self == other

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  anything that a text has
        """None of the other methods of texts."""
        return looked_at(name)

    __str__ = __repr__ = __len__ = __iter__ = __getitem__ = __format__ = looked_at
    __lt__ = __le__ = __gt__ = __ge__ = __mul__ = __rmul__ = __mod__ = __rmod__ = __call__ = looked_at
    __int__ = __float__ = __index__ = looked_at

    def strip(self, chars: str | None = None) -> Sealed:
        """As of a text."""
        return self.lstrip(chars).rstrip(chars)

    def lstrip(self, chars: str | None = None) -> Sealed:
        """As of a text."""
        first = self.parts[0]
        return Sealed((_trimmed(first, "left", chars), *self.parts[1:]), self._slots)

    def rstrip(self, chars: str | None = None) -> Sealed:
        """As of a text."""
        return Sealed((*self.parts[:-1], _trimmed(self.parts[-1], "right", chars)), self._slots)

    def startswith(self, text: object) -> bool:
        """As of a text without it."""
        return self._holds(text)

    def endswith(self, text: object) -> bool:
        """As of a text without it."""
        return self._holds(text)

    def split(self, text: object) -> list[Sealed]:
        """As of a text without it."""
        self._holds(text)
        return [self]

    def _holds(self, text: object) -> bool:
        """No, on condition."""
        if type(text) is not str or not text or len(self.parts) > 1:
            looked_at()
        self._slots.absent[text] = None
        return False


def _parts(value: object) -> tuple[str | Slot, ...]:
    if isinstance(value, Sealed):
        return value.parts
    if type(value) is not str:
        looked_at()
    return (value,) if value else ()


def _trimmed(part: str | Slot, side: str, chars: object) -> str | Slot:
    """A part without some white space on one side; if nothing were left of it, the next one would be trimmed too."""
    if chars is not None and (type(chars) is not str or not chars.isspace()):
        looked_at()
    if isinstance(part, str):
        return (part.lstrip(chars) if side == "left" else part.rstrip(chars)) or looked_at()
    if getattr(part, side) not in ("", chars):
        return part if getattr(part, side) is None else looked_at()
    return evolve(part, left=chars) if side == "left" else evolve(part, right=chars)


def compile_sealed(text: str, slots: Slots) -> Template | None:
    """A template to be rendered with sealed contents; None if it works on what it has written in ways unknown here."""
    from jinja2 import nodes

    sandbox = environment()
    parsed = sandbox.parse(text)
    if EDGE in text or any(map(_is_handed_on, parsed.find_all(nodes.Node))):
        return None
    sandbox.finalize = slots.numbered
    sandbox.filters = {name: _guarded(one, _FILTERS.get(name)) for name, one in sandbox.filters.items()}
    sandbox.filters |= {_JOINED: _joined, _SEALED: slots.sealed}
    sandbox.tests = {name: _guarded(cast("Test", one), _known(name)) for name, one in sandbox.tests.items()}
    return sandbox.from_string(_followed(parsed))


def _is_handed_on(node: object) -> bool:
    """Whether what is written in a part of a template is handed on, or changed, where nothing here hears of it."""
    from jinja2 import nodes

    match node:
        case nodes.FilterBlock() | nodes.Block() | nodes.EvalContextModifier() | nodes.ScopedEvalContextModifier():
            return True
        case nodes.For():
            return node.recursive
        case nodes.CallBlock():
            return not isinstance(node.call.node, nodes.ExtensionAttribute)
    return False


def _guarded(function: Callable[..., Any], of_sealed: Callable[..., Any] | None) -> Callable[..., Any]:
    """A filter or test of Jinja for which sealed contents are found out before it looks at them."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def guarded(*given: Any, **named: Any) -> Any:  # noqa: ANN401  Jinja's
        others = (*given[:first], *given[first + 1 :], *named.values())
        if isinstance(given[first], SealedLength) or any(isinstance(one, Sealed | SealedLength) for one in others):
            return looked_at()
        if not isinstance(given[first], Sealed):
            return function(*given, **named)
        return looked_at() if of_sealed is None else of_sealed(*given[first:], **named)

    return guarded


def _known(test: str) -> Callable[..., Any] | None:
    return (lambda _: _OF_TEXTS[test]) if test in _OF_TEXTS else None


_FILTERS: dict[str, Callable[..., Any]] = {
    "trim": lambda value, chars=None: value.strip(chars),
    "string": lambda value: value,
    **dict.fromkeys(("length", "count"), lambda _: SealedLength()),
    "default": lambda value, *_, **__: value,
    "d": lambda value, *_, **__: value,
}
"""What filters make of a sealed content; all others look at it."""
_JOINED, _SEALED = "joined", "sealed"


def _joined(values: list[object]) -> object:
    """What `~` makes of values."""
    joined: Any = ""
    for one in values:
        joined = joined + (one if isinstance(one, Sealed) else str(one))
    return joined


def _followed(parsed: Any) -> Any:  # noqa: ANN401  jinja2's nodes
    """The template with filters of ours where Jinja itself joins texts: for `~`, and behind macros and `set` blocks."""
    from jinja2 import nodes
    from jinja2.visitor import NodeTransformer

    class Followed(NodeTransformer):
        def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802  jinja2's naming
            self.generic_visit(node)
            return nodes.Filter(nodes.List(node.nodes), _JOINED, [], [], None, None, lineno=node.lineno)

        def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802  as above
            self.generic_visit(node)
            return nodes.Filter(node, _SEALED, [], [], None, None, lineno=node.lineno)

        def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802  as above
            node.body = [self.visit(one) for one in node.body]
            return node

        def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802  as above
            self.generic_visit(node)
            innermost: Any = node.filter
            while innermost is not None and innermost.node is not None:
                innermost = innermost.node
            sealed = nodes.Filter(None, _SEALED, [], [], None, None, lineno=node.lineno)
            if innermost is None:
                node.filter = sealed
            else:
                innermost.node = sealed
            return node

    return Followed().visit(parsed)
