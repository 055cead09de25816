"""The data path on an NVIDIA GPU: from upload to composite the frame stays there.

Another matter, steadier and compositor, not another program: a Pipeline that is
given these three in place of the CPU's runs its loop unchanged. `flight` is the
same loop for files, with two frames on the GPU at once.

Nothing of it has run on a card yet. What is proven without one: NVRTC compiles
the kernels for every GPU from Turing on; compiled for the processor, the same
text agrees with the package's own arithmetic; and the whole path gives the CPU's
composites on an in-memory twin of a GPU. tools/gpu_check proves and measures the
rest where a card is.
"""
