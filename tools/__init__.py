import bshm_live  # noqa: F401  # what a tool loads is told to report nothing
