"""Values to words: what people read, and the same values as JSON."""
