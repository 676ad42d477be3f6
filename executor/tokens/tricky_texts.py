"""Texts that tell tokenizers apart: what an encoder that is taken for another must encode as that one does."""

from __future__ import annotations

from itertools import chain, product

_REPRESENTATIVES = "a'sL1 \n\r\t!_-é中²\u0301\u00a0🙂\x00"
_COMMON = "aSL1 \n\r\t!'-é"
_TRICKY = (
    "",
    "I'm you're WE'LL it'S o'clock 'tis ''s 'ſ 'ſſ don’t",  # noqa: RUF001  meant
    "  two   three    four\n\n  five \r\n\r\n\t\tsix \u3000 seven\u2028eight\x85nine\x1c\x1dten",
    "1 12 123 1234 12345.678,90 ١٢٣ ४५ ½ Ⅷ x² 3rd v2.0",
    "def f(x: int) -> str:\n    return f'{x!r}'  # done\n\n\n",
    "naïve Ångström ﬁn ǅ ʰ ª ß ẞ İ ı K Å Ω straße",  # noqa: RUF001  meant
    "日本語のテキスト、中文，한국어! ไทย हिन्दी עברית العربية",  # noqa: RUF001  meant
    "👩‍👩‍👧 🇪🇺 ❤️ \ufe0f\u200d \u200b \ufeff \U000e0001 \U0010ffff \ue000",
    "<|im_start|>user\n<|im_end|>< |im_end|> <|im_end |> </s><s><unk> <|endoftext|><|eot_id|>",
)


def around(one: str) -> str:
    """A character in all company that expressions look at."""
    return f"a{one}a1{one}1 {one} {one}{one}!{one}!'{one}\n{one}\n{one} a'{one}s '{one}"


def tricky_texts() -> list[str]:
    """Texts that tell expressions apart: all short rows of characters of each class, and known pitfalls."""
    short = (
        product(_REPRESENTATIVES, repeat=2),
        product(_COMMON, repeat=3),
        product("a \n", repeat=5),
        product("as' ", repeat=4),
    )
    return [*_TRICKY, *map("".join, chain(*short)), *map(around, map(chr, range(128)))]
