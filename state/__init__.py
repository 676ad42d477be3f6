"""What exists, and from exactly what it was made."""
