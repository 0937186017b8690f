"""Terms of borders are fitted to parts that ran: what they were made with is found again."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from farm.costs.calibration import Calibration, CostPlace, Crossing
from farm.costs.in_place import FEW, MANY, Observed, PartWork, corrected, predicted, terms_of
from farm.costs.probes.rows import row_models, turns
from farm.plan.placement.problem import CALLER
from farm.units import Seconds
from tests.farm.costs.test_calibration import ends

ENGINES = ("onnxruntime-cpu", "openvino-runtime", "cpackage")
KNOWN = Calibration(
    "cpu",
    (),
    tuple(
        replace(ends(CostPlace("cpu", name)), per_tensor=Seconds(0.0), take_per_byte=0.0)
        for name in ENGINES
    ),
)
LAUNCH = dict(zip(ENGINES, (2e-6, 15e-6, 0.0), strict=True))
BORDER, TAKE, GIVE = 8e-6, 3e-10, 1e-10


def part(engine: str, before: str, size: int, known: float, after: str = CALLER) -> PartWork:
    return PartWork(engine, Seconds(known), before, after, size, size)


def taken(work: PartWork) -> float:
    border = 0.0 if work.before == CALLER else BORDER + TAKE * work.taken
    return work.known + LAUNCH[work.engine] + border + GIVE * work.given


def rows(noise: float = 0.0) -> list[Observed]:
    """Parts of rows of small and of large tensors, each beginning with another engine."""
    random = np.random.default_rng(1)
    works = [
        part(engine, before, size, known)
        for at, (size, known) in enumerate(((512, 3e-6), (16 << 10, 3e-5), (200 << 10, 2e-4)))
        for before, engine in pairwise((CALLER, *turns([*ENGINES[at:], *ENGINES[:at]])))
    ]
    factors = np.exp(noise * random.standard_normal(len(works)))
    return [
        Observed(Seconds(float(f) * taken(w)), (w,)) for w, f in zip(works, factors, strict=True)
    ]


def test_what_parts_were_made_with_is_found() -> None:
    found = corrected(KNOWN, rows(), FEW)
    for end in found.ends:
        for source in ENGINES:
            if source != end.engine:
                crossing = found.crossings_by_name()[f"cpu/{source}", f"cpu/{end.engine}"]
                both = LAUNCH[end.engine] + BORDER
                assert end.launch + crossing.seconds == pytest.approx(both, rel=0.1)
                per_byte = crossing.take_per_byte + end.give_per_byte
                assert per_byte == pytest.approx(TAKE + GIVE, rel=0.1)


def test_predictions_of_whole_plans_are_right_although_parts_are_noisy() -> None:
    terms = terms_of(corrected(KNOWN, rows(0.1), FEW))
    for first, second in product(ENGINES, repeat=2):
        if first != second:
            works = part(first, CALLER, 4096, 5e-5), part(second, first, 4096, 5e-5)
            whole = Observed(Seconds(sum(map(taken, works))), works)
            assert predicted(whole, terms) == pytest.approx(whole.seconds, rel=0.1)


def test_a_part_that_something_else_delayed_counts_little() -> None:
    clean = rows()
    late = [replace(clean[5], seconds=Seconds(50 * clean[5].seconds)), *clean[:5], *clean[6:]]
    works = part(ENGINES[0], CALLER, 4096, 5e-5), part(ENGINES[1], ENGINES[0], 4096, 5e-5)
    whole = Observed(Seconds(sum(map(taken, works))), works)
    found = predicted(whole, terms_of(corrected(KNOWN, late, FEW)))
    assert found == pytest.approx(whole.seconds, rel=0.05)


def test_nothing_costs_less_than_nothing() -> None:
    fast = [replace(each, seconds=Seconds(each.parts[0].known * 0.5)) for each in rows()]
    found = corrected(KNOWN, fast, FEW)
    assert min(terms_of(found).values()) >= 0.0


def test_few_observations_move_what_is_well_known_but_little() -> None:
    calibrated = corrected(KNOWN, rows(), FEW)
    odd = Observed(Seconds(1e-3), (part(ENGINES[1], ENGINES[0], 512, 1e-5),))
    before, after = (
        {(c.source, c.target): c.seconds for c in each.crossings}
        for each in (calibrated, corrected(calibrated, [odd], MANY))
    )
    pair = ENGINES[0], ENGINES[1]
    assert before[pair] < after[pair] < 5e-4
    others = {name for name in before if name != pair}
    assert all(after[name] == pytest.approx(before[name]) for name in others)


def test_parts_of_unknown_engines_say_nothing() -> None:
    odd = Observed(Seconds(1e-3), (part("fake", CALLER, 512, 1e-5),))
    assert corrected(KNOWN, [odd]) is KNOWN
    assert corrected(KNOWN, []) is KNOWN


def test_terms_begin_as_the_ends_say() -> None:
    terms = terms_of(replace(KNOWN, crossings=(Crossing(*ENGINES[:2], Seconds(1e-4), 9e-10),)))
    assert terms["border", ENGINES[0], ENGINES[1]] == 1e-4
    assert terms["take", ENGINES[0], ENGINES[1]] == 9e-10
    assert terms["border", ENGINES[1], ENGINES[0]] == pytest.approx(0.0)
    assert terms["launch", ENGINES[2]] == pytest.approx(10e-6)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_turns_have_every_two_engines_twice(count: int) -> None:
    names = [str(number) for number in range(count)]
    pairs = list(pairwise(turns(names)))
    assert all(pairs.count((a, b)) >= 2 for a, b in product(names, repeat=2) if a != b)
    assert all(a != b for a, b in pairs)
    assert turns(names)[0] == turns(names)[-1]
    assert len(pairs) <= 2 * count * (count - 1) + 2 * count


def test_rows_have_all_their_operators_in_segments_of_one_size() -> None:
    for row in row_models(5):
        names = [name for segment in row.segments for name in segment]
        assert names == [node.name for node in row.model.graph.node]
        assert len({len(segment) for segment in row.segments}) == 1
