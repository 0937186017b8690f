"""The cost models of all engines of a device's kernels together, and how they are kept."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from farm.costs.calibration import Calibration, CostPlace
from farm.costs.operators import CostedOperator
from farm.errors import StoreError
from farm.prediction import Prediction
from tuner.learning.kernels.features import touched_bytes
from tuner.learning.kernels.model import Kernel, KernelModel, fit_kernels
from tuner.learning.kernels.rows import KernelRow, Setting, by_setting, distinct

FORMAT = "kernels 1"
"""Of what :meth:`LearnedKernels.content` returns; a farm reads no other."""


@dataclass(frozen=True, slots=True)
class LearnedKernels:
    """What was learnt of the kernels of a device.

    models: see ``by_setting``. Those that do worse than the roofline are among them, and are
    not used. options: of the engines that places stand for, by engine. operators: of the model
    that is asked about, which decide what caches hold; none where kernels are asked for alone.
    """

    device: str
    models: Mapping[tuple[str, str], KernelModel]
    options: Mapping[str, str] = field(default_factory=dict)
    operators: tuple[CostedOperator, ...] = ()

    def of_model(self, operators: Iterable[CostedOperator]) -> Self:
        """The same for the kernels of a model. operators: all that run in it."""
        return replace(self, operators=tuple(operators))

    def at(self, calibration: Calibration) -> Self:
        """The same for places with the options that a calibration of the device has."""
        return replace(self, options={each.engine: each.options for each in calibration.places})

    def cost(self, operators: Sequence[CostedOperator], place: CostPlace) -> Prediction | None:
        """Seconds of one kernel at a place; None where nothing was learnt that is of use."""
        if place.device != self.device:
            return None
        options = self.options.get(place.engine, place.engine)
        return self.of_kernels([operators], Setting(place.device, place.engine, place.precision,
                                                    options))[0]  # fmt: skip

    def of_kernels(
        self, kernels: Sequence[Sequence[CostedOperator]], setting: Setting
    ) -> tuple[Prediction | None, ...]:
        """Seconds of kernels in a setting; None of each where nothing of use was learnt."""
        model = self.models.get((setting.alike, setting.precision))
        if model is None or not model.quality.is_better or setting.options not in model.options:
            return (None,) * len(kernels)
        around = touched_bytes(self.operators, setting.precision)
        asked = [
            Kernel(tuple(of), setting.options, around or touched_bytes(of, setting.precision))
            for of in kernels
        ]
        return model.predict(asked)

    def content(self) -> bytes:
        """All of it as arrays in NumPy's format, without pickles."""
        arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
        kept = []
        for at, (key, model) in enumerate(self.models.items()):
            text, state = model.state()
            kept.append([*key, text])
            arrays |= {f"{at}/{name}": values for name, values in state.items()}
        plain = json.dumps({"device": self.device, "models": kept})
        buffer = io.BytesIO()
        np.savez_compressed(buffer, plain=np.frombuffer(plain.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @classmethod
    def of_content(cls, content: bytes) -> Self:
        """What :meth:`content` returned. Raises StoreError: it is something else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                plain = json.loads(arrays["plain"].tobytes().decode())
                models = {}
                for at, (alike, precision, text) in enumerate(plain["models"]):
                    own = f"{at}/"
                    state = {n.removeprefix(own): arrays[n] for n in arrays if n.startswith(own)}
                    models[alike, precision] = KernelModel.of_state(text, state)
            return cls(plain["device"], models)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise StoreError(
                f"What the store has learnt of kernels cannot be read: {type(error).__name__} "
                f"{error}."
            ) from None


def learn_kernels(
    device: str,
    rows: Iterable[KernelRow],
    caches: Sequence[float],
    calibration: Calibration | None = None,
) -> LearnedKernels:
    """Fit the cost models of a device's kernels.

    rows: of the device, of all settings. calibration: of the device, whose rooflines the models
    rest on where it has any.
    """
    places = calibration.places if calibration else ()
    rooflines = {(each.engine, each.precision): each.roofline for each in places}
    models = {}
    for key, own in by_setting(distinct(rows)).items():
        model = fit_kernels(own, caches, rooflines.get((own[0].setting.engine, key[1])))
        if model is not None:
            models[key] = model
    return LearnedKernels(device, models)
