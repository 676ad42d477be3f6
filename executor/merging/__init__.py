"""Adapters folded into their bases, tensor by tensor, and the proof that the result is right."""
