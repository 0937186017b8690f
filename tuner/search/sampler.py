"""Samples the rest of the space with Optuna's tree-structured Parzen estimator.

The space is conditional (an engine has its own options), the estimator's is flat: a candidate is
encoded as categorical parameters, of which those that do not apply are left at their defaults.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from typing import get_args

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from farm.candidate import (
    BlockSize,
    CalibrationMethod,
    Candidate,
    DynamicInt8,
    Engine,
    FloatType,
    GivenFormat,
    OnnxRuntimeCpu,
    OpenVino,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)
from tuner.runs.history import Entry
from tuner.search.options import SAMPLED, flat_choices, flat_defaults, flatten, unflatten
from tuner.search.options.family import Choice
from tuner.search.space import Space

_BLOCK_SIZES: dict[int, BlockSize] = {size: size for size in get_args(BlockSize)}
_TRIES_PER_CANDIDATE = 20
_FAILED_RATIO = 10.0  # what the estimator is told of a candidate that failed


def sample(space: Space, history: Sequence[Entry], count: int, seed: int) -> list[Candidate]:
    """Up to ``count`` candidates that are not in the history, by what the history shows.

    Empty when the estimator finds nothing new in 20 tries per candidate. Deterministic.
    """
    distributions = _distributions(space)
    if not distributions:
        return []
    study = _study(history, distributions, seed + len(history))
    seen = {entry.candidate for entry in history}
    found: list[Candidate] = []
    for _ in range(_TRIES_PER_CANDIDATE * count):
        trial = study.ask(distributions)
        candidate = decode(trial.params, space.given)
        if candidate in seen or not space.offers(candidate):
            # Nothing to learn from it; telling the study so keeps the sampler moving.
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        seen.add(candidate)
        found.append(candidate)
        if len(found) == count:
            break
    return found


def decode(parameters: dict[str, Choice], given: GivenFormat = GivenFormat.FLOAT32) -> Candidate:
    """The candidate that flat parameters stand for. given: what the model computes in."""
    engine = unflatten(str(parameters["engine"]), parameters)
    quantization = _decode_quantization(parameters, engine)
    float_type = FloatType(str(parameters["float_type"]))
    if isinstance(engine, OnnxRuntimeCpu):
        if quantization is not None:
            float_type = FloatType.FLOAT32
        elif not (given.is_half and float_type is FloatType.FLOAT32):
            float_type = given.float_type
    precision = Precision(float_type, quantization, given)
    rewritten, callers = bool(parameters["rewritten"]), int(parameters["callers"])
    return Candidate(engine, precision, rewritten, callers, int(parameters["batch"]))


def encode(candidate: Candidate) -> dict[str, Choice] | None:
    """The flat parameters of a candidate; None where it lies outside the flat space."""
    flat: dict[str, Choice] = _DEFAULTS | {"rewritten": candidate.rewritten}
    flat |= {"callers": candidate.callers, "batch": candidate.batch}
    flat["float_type"] = str(candidate.precision.float_type)
    options = flatten(candidate.engine)
    if options is None:
        return None
    flat |= {"engine": candidate.engine.kind, **options}
    match candidate.precision.quantization:
        case StaticInt8() as q:
            flat |= {"quantization": q.kind, "per_channel": q.per_channel}
            flat |= {"calibration": str(q.calibration), "products": q.products}
            flat |= {"bias_correction": q.bias_correction}
        case DynamicInt8() as q:
            flat |= {"quantization": q.kind, "per_channel": q.per_channel}
        case WeightOnlyInt4() as q:
            flat |= {"quantization": q.kind, "block_size": q.block_size}
        case None:
            pass
    return flat if decode(flat, candidate.precision.given) == candidate else None


_DEFAULTS: dict[str, Choice] = {
    "engine": "onnxruntime-cpu",
    "threads": 0,
    **flat_defaults(),
    "float_type": "float32",
    "quantization": "none",
    "per_channel": True,
    "calibration": "min-max",
    "products": False,
    "bias_correction": True,  # all that is sampled; what has no biases must not stand apart
    "block_size": 32,
    "rewritten": False,
    "callers": 1,
    "batch": 1,
}


def _decode_quantization(
    parameters: dict[str, Choice], engine: Engine
) -> StaticInt8 | DynamicInt8 | WeightOnlyInt4 | None:
    per_channel = bool(parameters["per_channel"])
    match parameters["quantization"]:
        case "static-int8":
            method = CalibrationMethod(str(parameters["calibration"]))
            return StaticInt8(
                per_channel=per_channel,
                calibration=method,
                products=bool(parameters["products"]) and not isinstance(engine, OnnxRuntimeCpu),
                bias_correction=bool(parameters["bias_correction"]),
            )
        case "dynamic-int8":
            return DynamicInt8(per_channel=per_channel)
        case "weight-only-int4":
            block_size = _BLOCK_SIZES[int(parameters["block_size"])]
            return WeightOnlyInt4(block_size=block_size, accuracy_level=4)
        case _:
            return None


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    engines = [e for e in space.engines if e in SAMPLED]
    if not engines:
        return {}
    kinds = ["none", *(kind for kind, names in space.quantizable.items() if names)]
    choices: dict[str, Sequence[Choice]] = {
        "engine": engines,
        "threads": space.thread_options(),
        **flat_choices(engines, space.width()),
        "float_type": _float_types(space),
        "quantization": kinds,
        "per_channel": (True, False),
        "calibration": [str(method) for method in CalibrationMethod],
        "products": (False, True) if space.products else (False,),
        "bias_correction": (True,),
        "block_size": tuple(_BLOCK_SIZES),
        "rewritten": (False, True) if space.rewritable else (False,),
        "callers": space.callers(),
        "batch": space.batches(),
    }
    return {name: CategoricalDistribution(tuple(values)) for name, values in choices.items()}


def _float_types(space: Space) -> list[Choice]:
    """Of every engine that is sampled."""
    types = chain(space.float_types(OpenVino()), space.float_types(OnnxRuntimeCpu()))
    return [str(float_type) for float_type in dict.fromkeys(types)]


def _study(
    history: Sequence[Entry], distributions: dict[str, BaseDistribution], seed: int
) -> optuna.Study:
    """A study that was told the history."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=4)
    study = optuna.create_study(sampler=sampler)
    for entry in history:
        flat = encode(entry.candidate)
        if flat is not None and all(
            flat[name] in distribution.choices
            for name, distribution in distributions.items()
            if isinstance(distribution, CategoricalDistribution)
        ):
            value = entry.ratio if entry.ok and entry.ratio is not None else _FAILED_RATIO
            study.add_trial(
                optuna.trial.create_trial(params=flat, distributions=distributions, value=value)
            )
    return study
