"""Recipes in YAML 1.2 (where `no` is a word): the same tables as in TOML, with the same places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import field

from state.diagnostic import Place, ProblemError, problem
from state.values import mutable

MOST_VALUES = 1_000_000
"""A text whose aliases unfold into more than this was written to exhaust whoever reads it."""
_TAG = "tag:yaml.org,2002:"


def read_yaml(text: str, file: str) -> tuple[dict[str, Any], dict[str, Place]]:
    """The tables of a YAML text and the place of each key; raises ProblemError for what is no plain YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import MappingNode

    yaml = YAML(typ="safe", pure=True)
    # Nodes know where they stand, and nothing is constructed but what is asked for below.
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark is not None else Place(file, 1, 1)
        raise _invalid(error.problem or error.context or "it cannot be read", place) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise _invalid(str(error), Place(file, 1, 1)) from None
    if root is None:
        return {}, {}
    make = yaml.constructor
    scalars = {"int": make.construct_yaml_int, "float": make.construct_yaml_float, "bool": make.construct_yaml_bool}
    reader = _Reader(file, {f"{_TAG}{name}": one for name, one in scalars.items()})
    if not isinstance(root, MappingNode):
        raise reader.wrong("the whole must be a mapping", root)
    return reader.plain(root, ""), reader.where


def _invalid(detail: str, place: Place) -> ProblemError:
    sentence = " ".join(detail.split())
    hint = "The mistake is there or just before; the keys of one table stand exactly below each other."
    return problem("Invalid YAML", f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}.", hint, place)


@mutable
class _Reader:
    """Turns the nodes of a document into plain values."""

    file: str
    scalars: Mapping[str, Callable[[Any], object]]
    where: dict[str, Place] = field(factory=dict)
    count: int = 0
    within: list[object] = field(factory=list)
    """The collections on the way to the value at hand."""

    def plain(self, node: Any, path: str) -> Any:  # noqa: ANN401  a node of any of three classes, to a plain value
        """The value of a node, noting the places of the keys below it."""
        self.count += 1
        if self.count > MOST_VALUES or any(node is one for one in self.within):
            raise self.wrong("aliases unfold into more than any recipe holds", node)
        kind = node.tag.removeprefix(_TAG)
        if kind not in ("map", "seq"):
            return self._scalar(node, kind)
        self.within.append(node)
        if kind == "map":
            value: object = dict(self._pairs(node, path))
        else:
            value = [self.plain(one, f"{path}.{number}") for number, one in enumerate(node.value)]
        self.within.pop()
        return value

    def _pairs(self, node: Any, path: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401  as above
        """The entries of a mapping: those that `<<` brings in first, so that its own replace them."""
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                yield from self._merged(value, path)
            elif key.tag != f"{_TAG}str":
                raise self.wrong(f"the key `{key.value}` is no text; put it in quotes", key)
            elif (name := self._text(key)) in own:
                raise self.wrong(f"the key `{name}` stands here twice", key)
            else:
                own[name] = (key, value)
        for name, (key, value) in own.items():
            inside = f"{path}.{name}" if path else name
            self.where[inside] = self._place(key)
            yield name, self.plain(value, inside)

    def _merged(self, node: Any, path: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401  as above
        """What is merged in; of several mappings the first wins (yaml.org/type/merge.html)."""
        several = list(reversed(node.value)) if node.tag == f"{_TAG}seq" else [node]
        for one in several:
            if one.tag != f"{_TAG}map":
                raise self.wrong("only mappings can be merged in", one)
            yield from self.plain(one, path).items()

    def _scalar(self, node: Any, kind: str) -> object:  # noqa: ANN401  as above
        if kind == "null":
            return None
        if kind == "str":
            return self._text(node)
        if node.tag not in self.scalars:
            raise self.wrong(f"a {kind} is no value that a recipe can hold; put it in quotes", node)
        try:
            return self.scalars[node.tag](node)
        except (ValueError, KeyError):
            raise self.wrong(f"`{node.value}` is no {kind}", node) from None

    def _text(self, node: Any) -> str:  # noqa: ANN401  as above
        """JSON, which is YAML too, escapes some characters as two halves."""
        try:
            return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self.wrong("it holds half a character", node) from None

    def wrong(self, detail: str, node: Any) -> ProblemError:  # noqa: ANN401  as above
        """The problem of YAML that is no recipe."""
        return _invalid(detail, self._place(node))

    def _place(self, node: Any) -> Place:  # noqa: ANN401  as above
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)
