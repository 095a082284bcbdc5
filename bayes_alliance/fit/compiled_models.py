"""Compiled models, used again in one process for every model of the same graph."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor
from nutpie.compile_pymc import CompiledPyMCModel
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.traversal import toposort

from bayes_alliance.fit.compilation import compile_density, start_anew
from bayes_alliance.fit.progress import step
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.names import BLOCK

KEPT = 24
"""Compiled models that a process keeps: studies of one model differ in which of its effects are centred."""

_COMPILED: OrderedDict[str, CompiledPyMCModel] = OrderedDict()


def compile_model(model: pm.Model, settings: SamplerSettings) -> tuple[CompiledPyMCModel, float]:
    """Compile a model for nutpie; return it and the seconds it took."""
    start = time.perf_counter()
    with (
        step("Compiling the model (seconds; up to a minute for a new shape of model)", settings.progress),
        pytensor.config.change_flags(numba__fastmath=False),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="PyTensor could not link to a BLAS installation")
        compiled = compile_density(model)
    return compiled, time.perf_counter() - start


def compile_once(model: pm.Model, settings: SamplerSettings) -> tuple[CompiledPyMCModel, float]:
    """Compile a model, or give one with the same graph the model's data; return it and the seconds it took."""
    key = graph_key(model)
    values = {variable.name: variable.get_value() for variable in model.data_vars}
    known = _COMPILED.pop(key, None)
    compiled, seconds = (known, 0.0) if known is not None else compile_model(model, settings)
    _COMPILED[key] = compiled
    if known is not None and not _starts_alike(known, values):
        compiled = start_anew(known, model)
    while len(_COMPILED) > KEPT:
        _COMPILED.popitem(last=False)
    return with_containers(compiled, values), seconds


def _starts_alike(compiled: CompiledPyMCModel, values: Mapping[str, np.ndarray]) -> bool:
    """Return whether the numbers of priors, which chains start by, are those a compiled model was made with."""
    made = {str(variable.name): compiled.shared_data[key] for variable, key in compiled.shared_var_keys.items()}
    stated = {name: value for name, value in values.items() if BLOCK in name}
    return all(name in made and np.array_equal(made[name], value) for name, value in stated.items())


def graph_key(model: pm.Model) -> str:
    """Return a digest of everything a compiled model depends on but the values of its data containers.

    Two models of one key have the same operations on the same constants, and containers of the same names and shapes.
    """
    outputs = [model.logp(), *model.replace_rvs_by_values(model.deterministics)]
    place: dict[Variable, tuple[int, int]] = {}
    digest = hashlib.sha256()

    def name(variable: Variable) -> tuple[object, ...]:
        if variable in place:
            return place[variable]
        if isinstance(variable, Constant):
            data = variable.data
            return ("constant", str(variable.type), data.tobytes() if isinstance(data, np.ndarray) else repr(data))
        return ("input", str(variable.name), str(variable.type))

    for number, node in enumerate(toposort(outputs)):
        properties = [(prop, str(getattr(node.op, prop))) for prop in getattr(node.op, "__props__", ())]
        digest.update(repr((type(node.op).__name__, properties, [name(v) for v in node.inputs])).encode())
        place |= {output: (number, i) for i, output in enumerate(node.outputs)}
    digest.update(repr([name(output) for output in outputs]).encode())
    shapes = {str(v.name): (v.get_value().shape, str(v.dtype)) for v in model.data_vars}
    labels = {dim: [str(value) for value in values] for dim, values in model.coords.items() if values is not None}
    digest.update(repr((sorted(shapes.items()), sorted(labels.items()))).encode())
    return digest.hexdigest()


def with_containers(compiled: CompiledPyMCModel, values: Mapping[str, np.ndarray]) -> CompiledPyMCModel:
    """Return a compiled model with other data; containers that its density does not read are left aside."""
    read = {variable.name for variable in compiled.shared_var_keys}
    return compiled.with_data(**{name: value for name, value in values.items() if name in read})
