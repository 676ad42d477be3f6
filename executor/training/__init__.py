"""Training runs: the recipe's fields for them, what trainers are told, and what happens around their steps."""
