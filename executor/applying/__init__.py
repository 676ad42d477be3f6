"""Plan to state: the steps that build, what is kept of them, and what is checked against it."""
