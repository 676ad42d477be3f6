"""Rows as they come: where they lie, what formats make of them, and what is wrong with one, by file and line."""
