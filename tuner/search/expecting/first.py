"""What a search expects of candidates before it tries any: by all that a store knows of others."""

from __future__ import annotations

from dataclasses import replace

from db.reader import StoreReader
from tuner.learning.predictor import LearnedPredictor
from tuner.learning.values import Predictor, Subject
from tuner.search.expecting.cold import ColdPrior
from tuner.search.expecting.from_store import Wanted, prior_from_store
from tuner.search.expecting.learned import Joint, LearnedPrior
from tuner.search.prior import Prior
from tuner.search.space import Space


def first_prior(
    store: StoreReader,
    wanted: Wanted,
    space: Space,
    subject: Subject | None = None,
    predictor: Predictor | None = None,
) -> Prior:
    """Similar models and cost models as one; rules of thumb where neither knows anything.

    What is measured of this very model does not come in by cost models: it is of the model that is
    the most similar. subject, predictor: of the cost models; None where there are none.

    Raises StoreError.
    """
    similar = prior_from_store(store, wanted, ColdPrior(space))
    if subject is None or not isinstance(predictor, LearnedPredictor):
        return similar
    unmeasured = replace(predictor, known=lambda _: {})
    learned = LearnedPrior(unmeasured, subject, space.baseline(), wanted.scorer.objective)
    return Joint((similar, learned))
