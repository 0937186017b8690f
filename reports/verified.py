"""What verifying a delivery showed, for people."""

from __future__ import annotations

from tuner.delivery.verify import Verified


def verified_lines(verified: Verified) -> list[str]:
    """What building a package and replaying its test vectors showed."""
    built = f"built for {verified.target} by {verified.compiler}"
    if verified.agrees:
        verdict = [f"{verified.vectors} test vectors agree bit for bit ({built})."]
    else:
        verdict = [f"The package does not agree ({built}):"]
        verdict += [f"- {disagreement}." for disagreement in verified.disagreements]
    return [*verdict, *verified.notes]
