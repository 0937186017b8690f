"""Where pages that are served lie: texts that lead to them."""

from __future__ import annotations

from urllib.parse import quote

from reports.pages.section import Link


def run_link(name: str) -> Link:
    """To a run."""
    return name, f"/runs/{quote(name, safe='')}"


def model_link(name: str, sha256: str) -> Link:
    """To a model. name: "" where it has none."""
    return name or sha256[:12], f"/models/{sha256}"


def device_link(name: str) -> Link:
    """To a device."""
    return name, f"/devices/{quote(name, safe='')}"


def suite_link(name: str) -> Link:
    """To a suite."""
    return name, f"/suites/{quote(name, safe='')}"


def trial_link(trial: str, text: str = "") -> Link:
    """To a trial. text: that stands for it, its id where it is empty."""
    return text or trial, f"/trials/{quote(trial, safe='')}"
