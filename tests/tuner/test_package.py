"""What ``farm package`` says of a package's accuracy."""

from __future__ import annotations

import pytest

from farm.codegen.package.manifest import PackageAccuracy
from tuner.package import _warning


@pytest.mark.parametrize("itself", [1.0, None], ids=["judged", "constant"])
def test_a_package_far_below_the_model_is_told(itself: float | None) -> None:
    """Outputs that are constant say nothing of the model; another constant is wrong all the same.

    By what the package reaches, its warning is the one that a search would have refused it for.
    """
    (told,) = _warning(PackageAccuracy("agreement", 0.5, itself, 26))
    assert told.startswith("Its accuracy is 0.5000 below the model's own: keep operators in float")


@pytest.mark.parametrize(
    "found",
    [
        None,
        PackageAccuracy("agreement", None, None, 26),
        PackageAccuracy("agreement", 0.98, None, 26),
        PackageAccuracy("top1", 0.5, None, 26),
        PackageAccuracy("top1", 0.91, 0.915, 26),
    ],
)
def test_nothing_is_told_where_little_is_lost_or_nothing_is_known(
    found: PackageAccuracy | None,
) -> None:
    assert list(_warning(found)) == []
