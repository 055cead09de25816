"""Mutated pictures, videos, backgrounds and words through the command line, in bounds."""
