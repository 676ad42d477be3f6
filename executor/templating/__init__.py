"""Chat templates: conversations to text, and which characters of it belong to which message, proved."""
