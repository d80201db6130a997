"""Changes of bytes that are likely to break a parser, drawn by a seeded generator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

#: Inputs are cut to this, so that the time of one stays in milliseconds.
MAX_BYTES = 1 << 16

# At the edges of integer types, where lengths and offsets overflow.
INTEGERS = (
    *(0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000),
    *(0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 0.5, -0.0, 1e308, 10**400),
    *(float("nan"), float("inf"), "", "0", "nan", "text", "\0", "\ud800", "\u0663", "x" * 5000),
    *([], [[]], {}, {"": None}, [0] * 100, [None, 1], {"a": {"b": []}}),
)


def mutate_bytes(rng: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Apply some changes, mostly one or two, since more hide each other."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 5, 8))):
        rng.choice(_CHANGES)(rng, changed, others)
    return bytes(changed[:MAX_BYTES])


def mutate_json(rng: Random, value: Any) -> Any:
    """Replace, remove or add one value somewhere inside."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        changed = dict(value)
        kind = rng.random()
        if kind < 0.12:
            del changed[key]
        elif kind < 0.2:
            changed[rng.choice(("", "a", "\0", "data", "format"))] = rng.choice(_VALUES)
        else:
            changed[key] = mutate_json(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.15:
            return value[:at] + value[at + 1 :]
        if kind < 0.3:
            return value[: at + 1] + value[at:]
        return [*value[:at], mutate_json(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, int) and rng.random() < 0.3:
        return value + rng.choice((-2, -1, 1, 2, 1000))
    return rng.choice(_VALUES)


def mutate_json_text(rng: Random, text: str) -> str:
    """Change a value, or the text that spells it."""
    if rng.random() < 0.1:
        return rng.choice(("[" * 20_000, '{"a":' * 9_000, "1" * 10_000, "NaN", "", '"', "{}", "[]"))
    try:
        changed = json.dumps(mutate_json(rng, json.loads(text)))
    except ValueError:
        changed = text
    if rng.random() < 0.15:
        at = rng.randrange(len(changed) + 1)
        changed = changed[:at] + rng.choice(('"', "{", "}", "\\u", ",", "\0")) + changed[at + 1 :]
    return changed


# -- changes of bytes


def _place(rng: Random, data: bytearray) -> int:
    """Choose a place, often near the beginning, where most formats keep what matters."""
    end = len(data)
    if end > 64 and rng.random() < 0.4:
        end = 64
    return rng.randrange(end) if end else 0


def _span(rng: Random, data: bytearray) -> tuple[int, int]:
    start = _place(rng, data)
    return start, min(len(data), start + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


def _flip(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(rng, data)] = rng.choice(
            (0, 1, 0x20, 0x2C, 0x7F, 0x80, 0xFF, rng.randrange(256))
        )


def _add(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        at = _place(rng, data)
        data[at] = (data[at] + rng.choice((-2, -1, 1, 2, 16))) % 256


def _integer(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Write an integer of interest over what may be a length."""
    width = rng.choice((1, 2, 4, 4, 8))
    value = rng.choice(INTEGERS) % (1 << 8 * width)
    at = _place(rng, data)
    data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))


def _remove(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, stop = _span(rng, data)
    del data[start:stop]


def _truncate(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        del data[rng.randrange(len(data)) :]


def _repeat(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, stop = _span(rng, data)
    data[stop:stop] = data[start:stop] * rng.choice((1, 1, 2, 7, 100, 1000))
    del data[MAX_BYTES:]


def _insert(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))


def _fill(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, stop = _span(rng, data)
    data[start:stop] = bytes([rng.choice((0, 0xFF, 0x41))]) * (stop - start)


def _swap(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    first, second = sorted((_place(rng, data), _place(rng, data)))
    n = min(rng.choice((1, 4, 16, 64)), second - first, len(data) - second)
    data[first : first + n], data[second : second + n] = (
        data[second : second + n],
        data[first : first + n],
    )


def _splice(rng: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others) if others else b""
    if other and data:
        data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


_CHANGES: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    *(_flip, _flip, _set, _set, _add, _integer, _integer, _remove, _truncate, _repeat),
    *(_insert, _fill, _swap, _splice),
)
