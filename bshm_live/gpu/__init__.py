"""The data path on an NVIDIA GPU: from upload to composite the frame stays there.

A Pipeline that gets GpuParts instead of the CPU's parts runs its loop unchanged.
`loop/in_flight.py` is the same loop for files, with two frames on the GPU at once.

No card has run any of it yet. What is proven without one: NVRTC compiles the
kernels for every GPU from Turing on; compiled for the CPU, the same source agrees
with the package's own arithmetic; and on an in-memory twin of a GPU the whole path
gives the CPU's composites. tools/gpu_check proves and measures the rest on a card.
"""
