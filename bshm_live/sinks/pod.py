"""PipeWire's parameters as bytes (SPA POD): built here, since its C headers do it inline.

https://docs.pipewire.org/page_spa_pod.html: every value is its size, its type and its
body, filled up to eight bytes; an object is a list of keys with values. Numbers are those of
spa/utils/type.h and spa/param, which PipeWire keeps.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction

from ..types import Size

ID, INT, RECTANGLE, FRACTION, OBJECT, CHOICE = 3, 4, 10, 11, 15, 19
RANGE, FLAGS = 1, 4  # kinds of choices
ALIGNED = 8  # bytes
HEADER = struct.Struct("<II")  # size of the body, type
PROPERTY = struct.Struct("<II")  # key, flags
CHOICE_HEAD = struct.Struct("<IIII")  # kind, flags, size and type of each value
NUMBER = struct.Struct("<I")


def _pod(kind: int, body: bytes) -> bytes:
    return HEADER.pack(len(body), kind) + body + bytes(-len(body) % ALIGNED)


def identity(number: int) -> bytes:
    """A number of one of PipeWire's lists."""
    return _pod(ID, NUMBER.pack(number))


def whole(number: int) -> bytes:
    return _pod(INT, NUMBER.pack(number))


def rectangle(size: Size) -> bytes:
    return _pod(RECTANGLE, struct.pack("<II", *size))


def fraction(value: Fraction) -> bytes:
    return _pod(FRACTION, struct.pack("<II", value.numerator, value.denominator))


def between(default: int, least: int, most: int) -> bytes:
    """A whole number that the other side may choose."""
    return _choice(RANGE, default, least, most)


def flags(bits: int) -> bytes:
    """Any of these bits may be chosen."""
    return _choice(FLAGS, bits)


def _choice(kind: int, *numbers: int) -> bytes:
    values = b"".join(map(NUMBER.pack, numbers))
    return _pod(CHOICE, CHOICE_HEAD.pack(kind, 0, NUMBER.size, INT) + values)


def build(kind: int, parameter: int, values: Mapping[int, bytes]) -> bytes:
    """An object of a kind, as one of a node's parameters."""
    body = b"".join(PROPERTY.pack(key, 0) + value for key, value in values.items())
    return _pod(OBJECT, HEADER.pack(kind, parameter) + body)


def numbers_of(pod: bytes) -> dict[int, int]:
    """Key to the first 32 bits of its value, of an object; of a choice its default.

    What is cut off is left out.
    """
    found = {}
    at = HEADER.size + HEADER.size  # its own, then kind and parameter
    while at + PROPERTY.size + HEADER.size <= len(pod):
        key, _ = PROPERTY.unpack_from(pod, at)
        size, kind = HEADER.unpack_from(pod, at + PROPERTY.size)
        value = at + PROPERTY.size + HEADER.size
        first = value + (CHOICE_HEAD.size if kind == CHOICE else 0)
        if first + NUMBER.size <= min(value + size, len(pod)):
            (found[key],) = NUMBER.unpack_from(pod, first)
        at = value + size + -size % ALIGNED
    return found
