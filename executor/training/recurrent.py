"""Models with layers that carry a state from token to token: packed into one row, documents would run into each other.

Attention is told where a document begins by the positions of its tokens; a recurrence or a convolution is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

ATTENTION = re.compile(r".*attention|attn", re.IGNORECASE)
LINEAR = "linear_attention"
"""What transformers calls the layers of Mamba and its kin in `layer_types`, though they attend to nothing."""
FIELDS = re.compile(r"(mamba|ssm|conv|linear_conv|lru|rwkv|recurrent)_\w+|state_size|layers_block_type")
"""Fields that configurations of such models have, and others have not."""


TYPES = frozenset(
    {
        "bamba", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "lfm2", "mamba", "mamba2", "minimax",
        "nemotron_h", "qwen3_5_text", "qwen3_next", "recurrent_gemma", "rwkv", "xlstm", "zamba", "zamba2",
    }
)  # fmt: skip
"""Those that are known, for configurations that leave the rest to transformers."""


def is_recurrent(config: Mapping[str, Any]) -> bool:
    """Whether a model's configuration names layers that carry a state."""
    text = config.get("text_config", config)
    layers = text.get("layer_types") or ()
    if text.get("model_type") in TYPES or any(FIELDS.fullmatch(name) for name in text):
        return True
    return any(layer == LINEAR or not ATTENTION.fullmatch(layer) for layer in layers)


def packing_faults(stage: Any, root: str, config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  a Stage
    """Packing for a model that cannot keep documents apart, as far as its configuration can be read here."""
    if stage.sample_packing and is_recurrent(config):
        detail = f"layers of {root} carry a state from one document of a packed row into the next"
        yield "sample_packing", detail, "Remove it; `group_by_length` saves padding too."
