"""Models as files: weights, tokenizers, adapters and bases, read and written mostly without torch."""
