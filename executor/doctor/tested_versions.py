"""The versions that the tests run with, of the libraries that decide results; `constraints.txt` holds all of them."""

from __future__ import annotations

TESTED = {
    "accelerate": "1.15.0",
    "bitsandbytes": "0.50.2",
    "datasets": "5.2.0",
    "deepspeed": "0.19.8",
    "huggingface_hub": "2.4.0",
    "jinja2": "3.1.6",
    "peft": "0.21.2",
    "pyarrow": "26.0.1",
    "safetensors": "0.8.0",
    "tokenizers": "0.23.3",
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "trl": "1.16.0",
}
"""By the name of the distribution."""
NEEDED = ("accelerate", "jinja2", "peft", "pyarrow", "safetensors", "tokenizers", "torch", "transformers", "trl")
"""What every training takes; the others are for recipes that ask for them."""
