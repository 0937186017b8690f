"""The cost models of all engines of a device's kernels together, and how they are kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

import numpy as np

from farm.costs.calibration import Calibration, CostPlace, Pattern
from farm.costs.operators import CostedOperator
from farm.errors import StoreError
from farm.prediction import Prediction
from farm.units import counted
from tuner.learning.archives import archive_of, arrays_of
from tuner.learning.kernels.features import touched_bytes
from tuner.learning.kernels.fitting import fit_kernels
from tuner.learning.kernels.model import Kernel, KernelModel
from tuner.learning.kernels.rows import KernelRow, Setting, by_setting, distinct

FORMAT = "kernels 2"
"""Of what :meth:`LearnedKernels.content` returns; a farm reads no other."""


@dataclass(frozen=True, slots=True)
class LearnedKernels:
    """What was learnt of the kernels of a device.

    models: see ``by_setting``. Those that do worse than the roofline are among them, and are
    not used. options: of the engines that places stand for, by engine. threads: of those.
    operators: of the model that is asked about, which decide what caches hold; none where kernels
    are asked for alone.
    """

    device: str
    models: Mapping[tuple[str, str], KernelModel]
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0
    operators: tuple[CostedOperator, ...] = ()

    def of_model(self, operators: Iterable[CostedOperator]) -> Self:
        """The same for the kernels of a model. operators: all that run in it."""
        return replace(self, operators=tuple(operators))

    def at(self, calibration: Calibration, threads: int = 0) -> Self:
        """The same for places with the options that a calibration of the device has.

        threads: of its engines, see ``places_of``.
        """
        told = f" {counted(threads, 'thread')}"
        options = {each.engine: each.options.replace(told, "") for each in calibration.places}
        return replace(self, options=options, threads=threads)

    def cost(self, operators: Sequence[CostedOperator], place: CostPlace) -> Prediction | None:
        """Seconds of one kernel at a place; None where nothing was learnt that is of use."""
        if place.device != self.device:
            return None
        options = self.options.get(place.engine, place.engine)
        setting = Setting(place.device, place.engine, place.precision, options, self.threads)
        return self.of_kernels([operators], setting)[0]

    def of_kernels(
        self,
        kernels: Sequence[Sequence[CostedOperator]],
        setting: Setting,
        unseen: str = "",
    ) -> tuple[Prediction | None, ...]:
        """Seconds of kernels in a setting; None of each where nothing of use was learnt.

        unseen: a model that must not have taught what is said.
        """
        setting = self.nearest(setting)
        model = self.models.get((setting.alike, setting.precision))
        if model is None or not model.quality.is_better or setting.options not in model.options:
            return (None,) * len(kernels)
        around = touched_bytes(self.operators, setting.precision)
        asked = [
            Kernel(
                tuple(of),
                setting.options,
                around or touched_bytes(of, setting.precision),
                setting.threads,
            )
            for of in kernels
        ]
        return model.predict(asked, unseen)

    def patterns(self, setting: Setting) -> tuple[Pattern, ...] | None:
        """Types of operators that run as one kernel; None where nothing was learnt of that."""
        model = self.models.get((setting.alike, setting.precision))
        return model.patterns.get(self.nearest(setting).options) if model else None

    def nearest(self, setting: Setting) -> Setting:
        """The setting that is asked for: with options that nothing is known of, without them."""
        model = self.models.get((setting.alike, setting.precision))
        is_known = model is None or setting.options in model.options
        return setting if is_known else replace(setting, options=setting.engine)

    def content(self) -> bytes:
        """All of it, see ``tuner.learning.archives``."""
        arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
        kept = []
        for at, (key, model) in enumerate(self.models.items()):
            text, state = model.state()
            kept.append([*key, text])
            arrays |= {f"{at}/{name}": values for name, values in state.items()}
        plain = json.dumps({"device": self.device, "models": kept})
        return archive_of({"plain": np.frombuffer(plain.encode(), np.uint8), **arrays})

    @classmethod
    def of_content(cls, content: bytes) -> Self:
        """What :meth:`content` returned. Raises StoreError: it is something else."""
        try:
            arrays = arrays_of(content)
            plain = json.loads(arrays["plain"].tobytes().decode())
            models = {}
            for at, (alike, precision, text) in enumerate(plain["models"]):
                own = f"{at}/"
                state = {n.removeprefix(own): a for n, a in arrays.items() if n.startswith(own)}
                models[alike, precision] = KernelModel.of_state(text, state)
            return cls(plain["device"], models)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise StoreError(
                f"What the store has learnt of kernels cannot be read ({type(error).__name__} "
                f"{error}). The next calibration makes it anew: farm devices calibrate NAME"
            ) from None


def learn_kernels(
    device: str,
    rows: Iterable[KernelRow],
    caches: Sequence[float],
    calibrations: Mapping[int, Calibration] = MappingProxyType({}),
) -> LearnedKernels:
    """Fit the cost models of a device's kernels.

    rows: of the device, of all settings. calibrations: of the device, by the threads of each,
    whose rooflines the models rest on where they have any.
    """
    models = {}
    for key, own in by_setting(distinct(rows)).items():
        place = own[0].setting.place
        found = {n: each.constants(place) for n, each in calibrations.items()}
        rooflines = {n: each.roofline for n, each in found.items() if each is not None}
        model = fit_kernels(own, caches, rooflines)
        if model is not None:
            models[key] = model
    return LearnedKernels(device, models)
