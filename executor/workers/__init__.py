"""The processes in which steps are built: launched, listened to, stopped, and how they end."""
