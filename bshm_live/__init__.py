"""bshm-live: another background behind a person in live video, by three BSHM networks."""

__version__ = "0.1.0"
