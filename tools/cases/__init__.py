"""Failing inputs, what is expected of each, and what comes."""
