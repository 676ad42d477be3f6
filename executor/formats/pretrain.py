"""`pretrain`: texts to learn a language from, trained whole; never told from rows, which look like `completion`."""

from __future__ import annotations

from executor.data.examples import Text
from executor.data.format import Format
from executor.formats.completion import example

FORMAT = Format(name="pretrain", example=example, recognises=lambda _: None, yields=(Text,), fields=("field",))
