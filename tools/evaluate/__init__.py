"""Our presets and other networks on clips with a true alpha, in one run.

    python -m tools.evaluate ../shared/eval [--rivals ../shared/data/rivals]

A clip is NAME.mp4 with NAME_alpha.mkv (8-bit grey, same frames). What is
printed is Markdown: errors and times of every network, what each of the three
steps earns, the error of the foreground's colour, and what is kept of a room
without a person. `--pictures DIR` draws a sheet of every clip.
`python -m tools.evaluate.guard` says what the
guard lets out of empty rooms and withholds of people.
"""
