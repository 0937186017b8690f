"""What tests of the whole command share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.command import Command
from tests.models import conv_net, save


@pytest.fixture
def farm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in an empty folder with ``model.onnx`` and ``data.npz``."""
    furnish(tmp_path)
    return Command(tmp_path, capsys)


def furnish(folder: Path, samples: int = 24) -> None:
    """A small model and labelled data for it; `label` is what the model is trained to say."""
    save(conv_net(), folder)
    random = np.random.default_rng(1)
    images = random.standard_normal((samples, 3, 16, 16)).astype(np.float32)
    np.savez(folder / "data.npz", image=images)
