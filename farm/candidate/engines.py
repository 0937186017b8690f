"""All engines of candidates: those that run a whole model, and pipelines of several."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator

from farm.candidate.engine import WholeEngine, whole_engine_label
from farm.candidate.pipeline import Pipeline

Engine = Annotated[WholeEngine | Pipeline, Discriminator("kind")]


def whole_engines(engine: Engine) -> tuple[WholeEngine, ...]:
    """The engine itself, or those of a pipeline's parts."""
    return engine.engines if isinstance(engine, Pipeline) else (engine,)


def engine_label(engine: Engine) -> str:
    """The engine with the options that differ from its defaults, for tables."""
    return engine.label() if isinstance(engine, Pipeline) else whole_engine_label(engine)
