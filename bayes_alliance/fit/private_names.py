"""Private names of nutpie and PyTensor that compiled models are stored by, looked up in one place."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, Literal

type Private = Literal[
    "make_functions", "make_user_data", "prepare_dims_and_coords", "address_as_void_pointer", "cached_functions"
]

WHERE: Final[Mapping[Private, tuple[str, str]]] = {
    "make_functions": ("nutpie.compile_pymc", "_make_functions"),
    "make_user_data": ("nutpie.compile_pymc", "make_user_data"),
    "prepare_dims_and_coords": ("nutpie.compile_pymc", "_prepare_dims_and_coords"),
    "address_as_void_pointer": ("nutpie.compile_pymc", "address_as_void_pointer"),
    "cached_functions": ("pytensor.link.numba.cache", "CACHED_SRC_FUNCTIONS"),
}
"""Module and name of each."""


def look_up(name: Private) -> Any:
    """Return what a private name stands for.

    Raises
    ------
    AttributeError
        If the installed version does not have it.
    """
    module, attribute = WHERE[name]
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise AttributeError(f"{module} cannot be imported: {error}") from None


def lacking_names() -> list[str]:
    """Return the private names that the installed versions do not have."""
    lacking = []
    for name, (module, attribute) in WHERE.items():
        try:
            look_up(name)
        except AttributeError:
            lacking.append(f"{module}.{attribute}")
    return lacking
