"""Which tensors go into which file of a model, and the sizes that say so."""

from __future__ import annotations

import re
from collections.abc import Mapping

from executor.models.tensor_files import SINGLE_FILES

AS_IT_IS = "auto"
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}
"""As transformers' `max_shard_size` counts them."""
SIZE = re.compile(r"([1-9]\d*)(KB|MB|GB)")


def bytes_of(size: str) -> int:
    """The bytes of a size such as `5GB`."""
    number, unit = SIZE.fullmatch(size).groups()  # type: ignore[union-attr]  # recipes were checked
    return int(number) * UNITS[unit]


def shared_out(sizes: Mapping[str, int], max_shard_size: str) -> dict[str, str]:
    """The file of each tensor, given their sizes in bytes: filled in this order, none larger than said.

    A tensor that is larger by itself gets a file of its own.
    """
    numbers, number, room = {}, 1, bytes_of(max_shard_size)
    for at, (name, size) in enumerate(sizes.items()):
        if at and size > room:
            number, room = number + 1, bytes_of(max_shard_size)
        numbers[name] = number
        room -= size
    if number == 1:
        return dict.fromkeys(sizes, SINGLE_FILES[0])
    return {name: f"model-{one:05}-of-{number:05}.safetensors" for name, one in numbers.items()}
