"""The free bytes of a pool against a set of them: what is taken was free, and what is said of the rest is true."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from optimized.transport.pool import Space

START, STOP = 3, 40


def runs(free: set[int]) -> list[int]:
    """Lengths of what lies in one piece."""
    return [len(list(run)) for _, run in groupby(sorted(free), lambda byte: byte - sorted(free).index(byte))]


@given(st.lists(st.one_of(st.integers(1, STOP), st.integers(-20, 0)), max_size=30))
def test_free_ranges_are_those_of_a_set_of_bytes(steps: list[int]) -> None:
    """A step takes so many bytes, or gives back what was taken (counted around)."""
    space, free = Space(START, STOP), set(range(START, STOP))
    taken: list[tuple[int, int]] = []
    for step in steps:
        if step > 0:
            start = space.take(step)
            assert (start is None) == (step > max(runs(free), default=0))
            if start is not None:
                bytes_ = set(range(start, start + step))
                assert bytes_ <= free
                free -= bytes_
                taken.append((start, start + step))
        elif taken:
            start, stop = taken.pop(-step % len(taken))
            space.give(start, stop)
            free |= set(range(start, stop))
        assert space.free == len(free)
        assert space.largest == max(runs(free), default=0)
