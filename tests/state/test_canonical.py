"""Identity is decided by these bytes: they must never change by accident, and no two values may share them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.canonical import FORMAT_TAG, digest, digest_bytes, encode

SETTINGS: dict[str, Any] = {
    "learning_rate": 2e-4,
    "num_epochs": 3,
    "packing": True,
    "adapter": None,
    "roles": ["assistant", "tool"],
    "names": {"ü": "\u2028", "b": -0.0, "a": []},
}

TEXTS = st.text(st.characters(exclude_categories=()), max_size=4)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, "", "0", "1", "1.0", "true", "null", "[]", "{}", "a", '"']),
    TEXTS,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def typed(value: Any) -> Any:
    """The value with its types beside it, so that == tells apart whatever identity must tell apart."""
    match value:
        case dict():
            return ("table", {key: typed(one) for key, one in value.items()})
        case list() | tuple():
            return ("list", [typed(one) for one in value])
        case _:
            return (type(value).__name__, value)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(one) for one in value] if isinstance(value, list) else value


def test_the_encoding_is_the_one_that_every_state_file_was_written_with() -> None:
    assert FORMAT_TAG == b"tune-canonical-1\n"
    assert encode(SETTINGS) == (
        b"tune-canonical-1\n"
        b'{"adapter":null,"learning_rate":0.0002,"names":{"a":[],"b":0.0,"\xc3\xbc":"\xe2\x80\xa8"},'
        b'"num_epochs":3,"packing":true,"roles":["assistant","tool"]}'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "d782131abd5b4073e2d1743be5bc59b4"),
        ({}, "0d95319099fe0e8e96b69d59bdd0c365"),
        ([1, 1.0, True, "1"], "1c725e5741a8222a928b3f369083ca0a"),
        (SETTINGS, "4146a6bb79994c529389301548f765dd"),
    ],
)
def test_digests_are_those_of_every_earlier_release(value: Any, expected: str) -> None:
    assert digest(value) == expected


def test_the_digest_of_raw_bytes_has_no_tag() -> None:
    assert digest_bytes(b"") == "99aa06d3014798d86001c324468d497f"
    assert digest_bytes(encode(SETTINGS)) == digest(SETTINGS)


@given(VALUES)
def test_the_order_of_keys_means_nothing(value: Any) -> None:
    assert encode(shuffled(value)) == encode(value)


@given(VALUES, VALUES)
def test_two_values_share_their_bytes_only_if_they_are_the_same_by_type_and_value(one: Any, other: Any) -> None:
    assert (encode(one) == encode(other)) == (typed(one) == typed(other))


def test_every_pair_of_values_that_look_alike_differs() -> None:
    alike: list[Any] = [1, 1.0, True, "1", "1.0", "true", [1], [[1]], [1, 1], {"1": 1}, {"1": [1]}, 0, 0.0, False]
    alike += [None, "", "null", [], [None], [[]], {}, [{}], {"": None}, "[]", "{}"]
    assert len({encode(one) for one in alike}) == len(alike)


@given(VALUES)
def test_negative_zero_is_zero_wherever_it_stands(value: Any) -> None:
    assert encode({"a": [-0.0, value]}) == encode({"a": [0.0, value]})


@given(st.lists(VALUES, max_size=3))
def test_tuples_are_lists(values: list[Any]) -> None:
    assert encode(tuple(values)) == encode(values)
    assert encode({"a": (tuple(values),)}) == encode({"a": [values]})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_identity(number: float) -> None:
    for value in (number, [number], {"a": {"b": number}}):
        with pytest.raises(ValueError, match="Out of range float"):
            encode(value)


@pytest.mark.parametrize("key", [1, 1.0, True, None])
def test_only_strings_are_keys(key: Any) -> None:
    with pytest.raises(TypeError, match="only strings can be keys"):
        encode([{key: 1}])
