"""Who proposed a candidate, and why it does so."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """Why candidates were proposed; ``reason`` says it in words.

    Packages, precision and refine are only found in stores of older farms, which went through
    stages one after the other.
    """

    BASELINE = "baseline"
    ENGINES = "engines"
    PACKAGES = "packages"
    PRECISION = "precision"
    SPLITS = "splits"
    REPAIR = "repair"
    REFINE = "refine"
    PREDICTED = "predicted"
    SAMPLE = "sample"
    RANDOM = "random"
    EXHAUSTED = "exhausted"

    @property
    def reason(self) -> str:
        """What follows on ``proposed because``; "" where nothing is proposed."""
        return _REASONS[self]


_REASONS = {
    Stage.BASELINE: "everything is compared with it: it is the model as it was given, or what "
    "takes its place",
    Stage.ENGINES: "the float model is tried on every engine, as its makers recommend it and with "
    "its main options",
    Stage.PACKAGES: "the model is tried as generated C, in int8 by every compiler, then otherwise "
    "calibrated and in float32",
    Stage.PRECISION: "every precision is tried on the best setting of the best two engines",
    Stage.SPLITS: "a plan splits the model over places by what is predicted, or one place cannot "
    "run all of it",
    Stage.REPAIR: "the operators that quantisation damages most go back to float in the fastest "
    "quantised candidates",
    Stage.REFINE: "it differs in one choice from one of the best two by then",
    Stage.PREDICTED: "nothing else was left that may be as fast, by what was predicted then",
    Stage.SAMPLE: "a sampler asked for something like it, which prefers what was fast by then",
    Stage.RANDOM: "it was drawn at random, to test what is predicted",
    Stage.EXHAUSTED: "",
}
