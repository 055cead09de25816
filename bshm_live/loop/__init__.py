"""The loop, what may leave it, and what changes between two of its frames."""
