"""Every error the farm raises on purpose, in one tree.

FarmError
├── InputError          the user gave something that cannot work: exit code 2
│   ├── ModelError      the model file, its external data, its operators, its shapes
│   ├── DataError       the --data file: names, shapes, types, values
│   ├── DeviceError     a device profile or environment: unknown, malformed, not there
│   ├── CandidateError  a candidate or package description that cannot be read
│   ├── PlanError       a memory or schedule problem that makes no sense
│   └── OptionError     a limit, budget or option that contradicts itself or the facts
├── StoreError          the store cannot be used: locked, newer, read-only, disk full
│   ├── NotInStore      the run, trial or model that was asked for is not in the store
│   ├── StoreDamaged    what stands in its file is no database any more
│   ├── StoreFull       its disk has no room for what is to be written
│   └── LeaseLost       another process took the run over: this one writes nothing more
├── CompileError        this candidate cannot be compiled for this model: a trial outcome
│   └── GeneratorFault  what was compiled computes something else than it should: exit code 1
└── InfrastructureError the farm itself failed: says nothing about any candidate

A message is one sentence or two: what was wrong, where, what was expected, what came, and what
to do. ``cli.py`` turns every FarmError into that message on standard error and exit code 2, or 1
where the farm is at fault.
"""

from __future__ import annotations


class FarmError(Exception):
    """Base of every error that is shown to the user as one sentence."""


class InputError(FarmError):
    """Something the user gave cannot work."""


class ModelError(InputError):
    """The model file cannot be used."""


class DataError(InputError):
    """The data file cannot be used with this model."""


class DeviceError(InputError):
    """A device profile or an environment is unknown, malformed, or cannot be used here."""


class CandidateError(InputError):
    """A candidate file cannot be read."""


class PlanError(InputError):
    """A problem that was given to a planner makes no sense."""


class OptionError(InputError):
    """A limit, budget or option cannot be satisfied."""


class StoreError(FarmError):
    """The store cannot be opened, read or written."""


class StoreDamaged(StoreError):
    """The store's file is damaged."""


class StoreFull(StoreError):
    """The disk of the store is full."""


class NotInStore(StoreError):
    """A record that was asked for by name or id does not exist."""


class LeaseLost(StoreError):
    """Another process took the run over, because this one gave no sign of life."""


class CompileError(FarmError):
    """A candidate cannot be compiled for a model; becomes the outcome ``compile-error``."""


class GeneratorFault(CompileError):
    """Generated code does not compute what its model does: the farm is at fault, not the user."""


class InfrastructureError(FarmError):
    """The farm itself failed; says nothing about a candidate."""
