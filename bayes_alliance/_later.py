"""Methods that stand in a room above that of their class, found when they are called."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any


class Later:
    """A method by the place of its function, ``"module:function"``, which takes the object first.

    A result can so be drawn (``result.plot()``) though pictures are made of results, and results know no picture.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    def __get__(self, owner: object | None, kind: type | None = None) -> Callable[..., Any]:
        module, _, name = self.place.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function if owner is None else partial(function, owner)
