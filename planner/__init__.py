"""Recipe and state to plan: pure functions over values; no clock, no network, no printing."""
