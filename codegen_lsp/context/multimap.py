"""A dictionary of several values per key, small where most keys have one.

Knows strings only. The order of a key's values does not depend on the order they came in.
"""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["Multimap"]


class Multimap:
    """Strings to sets of strings. Not safe to change from two threads at once."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, str | tuple[str, ...]] = {}
        """One value stands alone: a set of one takes 216 bytes, and there are 100,000 of them."""

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: str) -> tuple[str, ...]:
        """The values of *key*, ascending; none where it is unknown."""
        values = self._values.get(key, ())
        return (values,) if isinstance(values, str) else values

    def add(self, key: str, value: str) -> None:
        """*key* has *value*, too."""
        values = self[key]
        if not values:
            self._values[key] = value
            return
        place = bisect_left(values, value)
        if values[place : place + 1] != (value,):
            self._values[key] = (*values[:place], value, *values[place:])

    def discard(self, key: str, value: str) -> None:
        """*key* does not have *value*, or no longer."""
        values = self[key]
        place = bisect_left(values, value)
        if values[place : place + 1] != (value,):
            return
        rest = (*values[:place], *values[place + 1 :])
        if not rest:
            del self._values[key]
        else:
            self._values[key] = rest if len(rest) > 1 else rest[0]
