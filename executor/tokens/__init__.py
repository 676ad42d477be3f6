"""Rows to token ids and labels: encoded, cut, packed, kept by content, and shown again."""
