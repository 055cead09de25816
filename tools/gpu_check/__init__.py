"""Everything that only a machine with an NVIDIA GPU can prove, and how fast it is there.

    python -m tools.gpu_check [STEP ...] [--preset quality] [--frames 200] [--rvm FILE]

Each step runs in a process of its own: what fails keeps its traceback, what crashes
cannot spoil the next, and all that was said is what a first run has to report. `speed`
measures 720p, 1080p and 4K from host frame to host composite beside the floor: the
bytes over the link's measured rate, and the networks' arithmetic over the card's.
Exit code 0: all passed; 1: something did not; 4: there is no GPU, or something is
missing to use it.
"""
