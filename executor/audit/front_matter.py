"""The YAML in front of a model card, written by hand: strings as JSON writes them are strings to YAML too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from state.canonical import Plain

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""What JSON leaves as it is and YAML either refuses or reads as a line break (https://yaml.org/spec/1.2.2/#51)."""


def front_matter(fields: Mapping[str, Plain]) -> str:
    """A block of YAML between its two lines of dashes."""
    return "\n".join(("---", *_mapping(fields), "---", ""))


def _mapping(fields: Mapping[str, Plain]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, str) or not isinstance(value, Mapping | Sequence):
            yield f"{name}: {_scalar(value)}"
        else:
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(value))


def _lines(value: Mapping[str, Plain] | Sequence[Plain]) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _mapping(value)
        return
    for one in value:
        if isinstance(one, str) or not isinstance(one, Mapping | Sequence):
            yield f"- {_scalar(one)}"
        else:
            first, *rest = _lines(one)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _scalar(value: Plain) -> str:
    if isinstance(value, str):
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    text = json.dumps(value)
    # 1e-05 is a string to YAML 1.1, which many still read, and 1.0e-05 a number to all.
    return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
