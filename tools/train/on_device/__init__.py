"""Training on a machine with a GPU: the photographs packed, all frames made on the device.

    python -m tools.train.on_device pack --data ../shared/data --out packs
    python -m tools.train.on_device train --packs packs --start engines --minutes 8 --device cuda

`pack` shrinks the photographs and their mattes into files of at most 40 MB each. `train`
decodes them on the machine and holds them on the device; crops, composites, strands of
hair, objects, light and noise are tensors there. Networks run in bfloat16, batches are
large. It goes on from released weights, checkpoints every minute and ends by itself;
`python -m tools.train.export` then writes the networks.
"""
