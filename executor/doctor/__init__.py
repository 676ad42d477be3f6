"""What can be wrong with a machine before anything is applied on it."""
