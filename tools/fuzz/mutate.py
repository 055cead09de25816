"""One sound file to one that is broken in a few places."""

from __future__ import annotations

import numpy as np

HEADER = 256  # bytes: where formats say what they are
LARGE = 0x7FFFFFFF
NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, LARGE, 0xFFFFFFFF, 30000, 1 << 24)


def mutated(data: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    """One to four of the ways below, one after the other; never longer than about twice."""
    for _ in range(int(random.integers(1, 5))):
        if not data:
            break
        way = WAYS[int(random.integers(len(WAYS)))]
        data = way(data, others[int(random.integers(len(others)))], random)
    return data


def _place(data: bytes, random: np.random.Generator) -> int:
    """Somewhere, every other time in the header."""
    most = min(len(data), HEADER) if random.random() < 0.5 else len(data)
    return int(random.integers(most))


def flip_bits(data: bytes, _: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 9))):
        changed[_place(data, random)] ^= 1 << int(random.integers(8))
    return bytes(changed)


def put_number(data: bytes, _: bytes, random: np.random.Generator) -> bytes:
    """A number that programs trip over, in 1, 2 or 4 bytes of either order."""
    size = (1, 2, 4)[int(random.integers(3))]
    number = NUMBERS[int(random.integers(len(NUMBERS)))] & ((1 << 8 * size) - 1)
    at = _place(data, random)
    word = number.to_bytes(size, "big" if random.random() < 0.5 else "little")
    return data[:at] + word + data[at + size :]


def cut_short(data: bytes, _: bytes, random: np.random.Generator) -> bytes:
    return data[: _place(data, random)]


def cut_out(data: bytes, _: bytes, random: np.random.Generator) -> bytes:
    at = _place(data, random)
    return data[:at] + data[at + int(random.integers(1, 65)) :]


def repeat(data: bytes, _: bytes, random: np.random.Generator) -> bytes:
    at, size = _place(data, random), int(random.integers(1, 513))
    return data[:at] + data[at : at + size] * 2 + data[at + size :]


def noise(data: bytes, _: bytes, random: np.random.Generator) -> bytes:
    at, size = _place(data, random), int(random.integers(1, 129))
    return data[:at] + random.bytes(size) + data[at + size :]


def splice(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """The beginning of one file, the end of another."""
    return data[: _place(data, random)] + other[_place(other, random) if other else 0 :]


WAYS = (flip_bits, flip_bits, put_number, put_number, cut_short, cut_out, repeat, noise, splice)
