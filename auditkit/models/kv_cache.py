"""A key-value cache that grows in place: transformers' own copies itself whole for every token."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


def select_rows(cache: Any, rows: Any) -> None:
    """Keep these rows of the batch, in this order; a row may be repeated. ``rows``: int64 tensor on any device."""
    cache.reorder_cache(rows)  # the one selection that every kind of layer has


def growing_cache(config: Any, capacity: int) -> Any:
    """A ``transformers.DynamicCache`` for a model's config, its plain layers able to hold ``capacity`` tokens in place.

    Layers of other kinds (sliding window, recurrent) stay as transformers makes them.
    """
    library: Any = import_module("transformers.cache_utils")
    made = library.DynamicCache(config=config)
    growing, plain = _growing_layer(), library.DynamicLayer
    made.layers = [growing(capacity) if type(layer) is plain else layer for layer in made.layers]
    return made


@cache
def _growing_layer() -> type[Any]:
    """The layer class, made when transformers is there."""
    base: Any = import_module("transformers.cache_utils").DynamicLayer

    class GrowingLayer(base):  # type: ignore[misc]  # a class that is there only with transformers
        """``keys`` and ``values`` are views of the filled part of buffers, which grow by half when full."""

        def __init__(self, capacity: int) -> None:
            super().__init__()
            self.keys: Any
            self.values: Any
            self.capacity = capacity
            self.buffers: list[Any] | None = None

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            filled = self.get_seq_length()
            end = filled + key_states.shape[-2]
            if self.buffers is None or end > self.buffers[0].shape[-2]:
                self.buffers = [
                    self._grown(old, new, filled, end)
                    for old, new in ((self.keys, key_states), (self.values, value_states))
                ]
            for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
                buffer[:, :, filled:end] = new
            self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)
            return self.keys, self.values

        def _grown(self, old: Any, new: Any, filled: int, end: int) -> Any:
            batch, heads, _, width = new.shape
            room = max(end, min(self.capacity, end + end // 2))
            buffer = new.new_empty((batch, heads, room, width))
            if filled:
                buffer[:, :, :filled] = old
            return buffer

        def reorder_cache(self, beam_idx: Any) -> None:
            self.buffers = None  # the base class copies the rows out of them
            super().reorder_cache(beam_idx)

    return GrowingLayer
