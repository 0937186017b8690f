"""Agreement with the baseline, for data without labels: output by output, the worst counting.

What an output is decides how it is judged: classes and scores by their decisions, whole numbers
by equality, all other values by their concordance, channel by channel. What cannot be judged is
said: outputs that are constant or not finite, and models that answer differently each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from farm.accuracy import concordance, decisions
from farm.accuracy.concordance import Pair, Profile
from farm.accuracy.outputs import Array, Floats, Output, Outputs, Reference, is_float, rows
from farm.accuracy.result import AccuracyResult, Worst
from farm.units import counted

NAME = "agreement"
OWN_AGREEMENT = 0.95  # a model that agrees less with itself cannot be judged by its answers
_LEAST_NUMBERS = 0.5  # share of an output's elements without which it says too little
_MOST_CLASSES = 64  # in bytes; a map of so many classes is judged as a picture
NEAR = 5e-2  # of the spread: values of a sample whose shape varies are equal up to here


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is said of one output.

    worst: where it agrees least; None where nothing can be said. notes: sentences.
    is_lost: the baseline gives no number at all, so that nothing can be said of the model.
    """

    worst: Worst | None
    notes: tuple[str, ...] = ()
    is_lost: bool = False


def agreement(outputs: Outputs, reference: Reference) -> AccuracyResult:
    """Agreement of outputs with the baseline's.

    The value is None where no output can be judged, where one of them is never a number, or
    where the model agrees with itself less than ``OWN_AGREEMENT``.
    """
    judged = list(_judgements(outputs, reference))
    notes = tuple(note for judgement in judged for note in judgement.notes)
    found = [j.worst for j in judged if j.worst is not None]
    worst = min(found, key=lambda each: each.value, default=None)
    lost = any(judgement.is_lost for judgement in judged)
    value = None if worst is None or lost else worst.value
    if reference.again is not None:
        own = _own_agreement(reference)
        notes = (*notes, _says_differently(reference, own))
        value = value if own is not None and own >= OWN_AGREEMENT else None
    return AccuracyResult(NAME, value, reference.samples, notes=notes, worst=worst)


def _judgements(outputs: Outputs, reference: Reference) -> Iterator[Judgement]:
    seconds: Sequence[Output | None] = reference.again or [None] * len(reference.outputs)
    both = zip(outputs, reference.outputs, seconds, strict=True)
    for position, (output, truth, again) in enumerate(both):
        name = reference.name(position)
        if isinstance(truth, tuple) or isinstance(output, tuple) or isinstance(again, tuple):
            yield _judge_ragged(name, output, truth)
        elif not truth.size:
            yield Judgement(None, (f"Output '{name}' is empty.",))
        elif is_float(truth) or _are_pixels(truth):
            yield _judge_floats(name, output, truth, again)
        else:
            yield _judge_exact(name, output, truth, again)


def _are_pixels(truth: Array) -> bool:
    """Whether bytes are quantities: there are more different ones than classes commonly are."""
    is_byte = truth.dtype.itemsize == 1 and truth.dtype.kind in "iu"
    return is_byte and len(np.unique(truth)) > _MOST_CLASSES


def _judge_floats(name: str, output: Array, truth: Array, again: Array | None) -> Judgement:
    finite = np.isfinite(rows(truth).astype(np.float64))
    notes: tuple[str, ...] = ()
    if not finite.all():
        lost = int((~finite).any(axis=1).sum())
        notes = (f"Output '{name}' has NaN or infinity in {lost} of {len(truth)} samples.",)
        if finite.mean() < _LEAST_NUMBERS and np.isnan(rows(truth).astype(np.float64)).any():
            return Judgement(None, notes, is_lost=True)
    kept = concordance.masks_kept(output, truth)
    if kept < 1.0:
        what = f"Output '{name}' has numbers where the baseline has masks or negative infinity."
        return Judgement(Worst(name, None, None, min(kept, 0.5), len(truth)), (*notes, what))
    compared = concordance.pair(output, truth, again)
    if compared.is_constant:
        return _judge_constant(name, compared, notes)
    axis = decisions.class_axis(compared.truth)
    if axis is not None:
        return _judge_classes(name, compared, axis, notes)
    return _judge_values(name, compared, notes, scores=True)


def _judge_constant(name: str, compared: Pair, notes: tuple[str, ...]) -> Judgement:
    """A constant says nothing, unless it is another one."""
    note = f"Output '{name}' is the same in all {len(compared.truth)} samples."
    return _judge_values(name, compared, (*notes, note))


def _judge_classes(name: str, compared: Pair, axis: int, notes: tuple[str, ...]) -> Judgement:
    samples = len(compared.truth)
    ours, theirs = (_decided(values, axis) for values in (compared.values, compared.truth))
    again = None if compared.again is None else _decided(compared.again, axis)
    found = decisions.agreement_of_classes(ours, theirs, again)
    single = theirs.shape[1] == 1
    if found is None:
        what = f"Output '{name}' has the same class in all {samples} samples: its values count."
        return _judge_values(name, compared, (*notes, what) if single else notes)
    class_axis = None if found.channel is None else axis - 1
    worst = Worst(name, class_axis, found.channel, found.value, samples)
    if single:
        return Judgement(worst, notes)
    # Few decisions among many turn on a rounding: being equal in value is enough, too.
    values = _judge_values(name, compared, notes)
    better = values.worst is not None and values.worst.value > worst.value
    return values if better else Judgement(worst, notes)


def _judge_values(
    name: str, compared: Pair, notes: tuple[str, ...], *, scores: bool = False
) -> Judgement:
    """By concordance. scores: columns of scores are judged as decisions."""
    worst: Worst | None = None
    quiet = still = 0
    for profile in concordance.profiles(compared):
        values, silent = _with_scores(compared, profile) if scores else (profile.values, 0)
        quiet = max(quiet, silent)
        still = max(still, int(np.isnan(values).sum()) - silent)
        if np.isnan(values).all():
            continue
        channel = int(np.nanargmin(values))
        value = float(values[channel])
        if worst is None or value < worst.value:
            axis = None if profile.axis is None else profile.axis - 1
            place = None if axis is None else channel
            worst = Worst(name, axis, place, value, len(compared.truth))
    if quiet:
        columns = counted(quiet, "score column")
        notes = (*notes, f"Output '{name}': {columns} without a detection in any sample.")
    if still and worst is not None:
        channels = counted(still, "channel")
        notes = (*notes, f"Output '{name}': {channels} the same in all samples, but for rounding.")
    return Judgement(worst, notes)


def _with_scores(compared: Pair, profile: Profile) -> tuple[Floats, int]:
    """Agreement per channel, score columns judged as decisions; how many detect nothing.

    A column of scores is as good as its decisions, or as its values where these agree better.
    """
    values = profile.values.copy()
    sides = (compared.values, compared.truth)
    columns = [a[None] if profile.axis is None else np.moveaxis(a, profile.axis, 0) for a in sides]
    scores = {
        channel: found
        for channel in range(len(values))
        if (found := decisions.agreement_of_scores(columns[0][channel], columns[1][channel]))
        is not None
    }
    if not scores:
        return values, 0
    quiet = [c for c in range(len(values)) if c not in scores and _is_quiet(columns, c)]
    for channel, found in scores.items():
        values[channel] = np.fmax(values[channel], found)
    values[quiet] = np.nan
    return values, len(quiet)


def _is_quiet(columns: Sequence[Floats], channel: int) -> bool:
    return decisions.is_quiet(columns[0][channel], columns[1][channel])


def _judge_exact(name: str, output: Array, truth: Array, again: Array | None) -> Judgement:
    """Whole numbers, truth values, texts: equal or not."""
    samples = len(truth)
    if np.array_equal(output, truth) and (truth == truth[:1]).all():
        return Judgement(None, (f"Output '{name}' is the same in all {samples} samples.",))
    answers = [rows(each) for each in (output, truth, again) if each is not None]
    codes = np.unique(np.concatenate(answers), return_inverse=True)[1]
    ours, theirs, *second = codes.reshape(len(answers), samples, -1).astype(np.int64)
    found = decisions.agreement_of_classes(ours, theirs, second[0] if second else None)
    value = float(np.mean(ours == theirs)) if found is None else found.value
    return Judgement(Worst(name, None, None, value, samples))


def _judge_ragged(name: str, output: Output, truth: Output) -> Judgement:
    """Sample by sample: another shape is wrong, and so are values that are not near."""
    note = f"Output '{name}' has another shape in some samples: it is compared sample by sample."
    width = _width(truth)
    values = np.concatenate([_columns(each, width) for each in truth])
    if values.dtype.kind == "f" and values.size and np.isnan(values).mean() > _LEAST_NUMBERS:
        return Judgement(None, (note, f"Most of output '{name}' is NaN."), is_lost=True)
    filled = [i for i, each in enumerate(truth) if each.size or output[i].size]
    if not filled:
        return Judgement(None, (note, f"Output '{name}' is empty in all samples."))
    spread = _spread(values) if values.dtype.kind == "f" else np.zeros(width)
    right = [_is_near(output[i], truth[i], spread) for i in filled]
    return Judgement(Worst(name, None, None, float(np.mean(right)), len(filled)), (note,))


def _width(truth: Output) -> int:
    """Columns of different kinds: the last of several axes, if it is always as long; else 1."""
    widths = {each.shape[-1] if each.ndim > 1 else 1 for each in truth}
    return max(1, widths.pop()) if len(widths) == 1 else 1


def _columns(array: Array, width: int) -> Array:
    """[rows, width]."""
    values = array.astype(np.float64) if is_float(array) else array
    return values.reshape(-1, width)


def _is_near(output: Array, truth: Array, spread: Floats) -> bool:
    if output.shape != truth.shape:
        return False
    if not is_float(truth):
        return bool(np.array_equal(output, truth))
    ours, theirs = _columns(output, len(spread)), _columns(truth, len(spread))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    apart = np.abs(np.where(same, 0.0, ours - np.where(same, 0.0, theirs)))
    return bool(np.all(same | (apart <= NEAR * spread)))


def _spread(values: Array) -> Floats:
    """[columns] standard deviation of what is finite, 0 where nothing is."""
    finite = [column[np.isfinite(column)] for column in values.T]
    return np.asarray([column.std() if column.size else 0.0 for column in finite])


def _decided(values: Floats, axis: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """[samples, decisions] of class rows."""
    return rows(values.argmax(axis=axis)).astype(np.int64)


def _own_agreement(reference: Reference) -> float | None:
    assert reference.again is not None
    own = Reference(reference.outputs, reference.names)
    return agreement(reference.again, own).value


def _says_differently(reference: Reference, own: float | None) -> str:
    why = f" ({', '.join(reference.random)})" if reference.random else ""
    agrees = "" if own is None else f", and agrees with itself to {own:.4f}"
    return f"The model does not answer the same twice{why}{agrees}."
