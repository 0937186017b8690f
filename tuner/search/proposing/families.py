"""Families of candidates: of one that nothing was tried of, one at a time.

What the first of a family shows says most of what is to be known of the others: whether a number
format is accurate enough, whether an engine can run the model, and about how fast it is. Four of
them in one cohort would say the same four times.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from farm.candidate import Candidate

Family = tuple[str, str, str]


def family(candidate: Candidate) -> Family:
    """Engine, quantisation and arithmetic; all other options are alike in a family."""
    precision = candidate.precision
    quantised = precision.quantization.kind if precision.quantization else ""
    return candidate.engine.kind, quantised, str(precision.float_type)


def one_of_each(
    left: Sequence[int],
    pool: Sequence[Candidate],
    known: Collection[Family],
    asked: Collection[Family],
) -> Sequence[int]:
    """Those indices that may be chosen next; all where none else would be left.

    known: families of what was tried. asked: of what was chosen already and is yet to be tried.
    """
    found = [at for at in left if (own := family(pool[at])) in known or own not in asked]
    return found or left
