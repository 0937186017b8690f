"""Lines below a table, on a terminal and elsewhere."""

from __future__ import annotations

import sys

import pytest

from commands.shared.output import print_lines

LINE = "cpu: no significant gain over the baseline :x: [bold]. 5 trials: 5 ok."
PATH = "cpu: the winner lies in /a/folder/whose/name/is/longer/than/the/terminal"


@pytest.mark.parametrize("terminal", [True, False])
def test_lines_break_between_words_and_paths_never(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_lines([LINE, PATH])
    *shown, path = capsys.readouterr().out.splitlines()
    assert path == PATH
    assert " ".join(line.strip() for line in shown) == LINE
    assert (max(map(len, shown)) <= 40) is terminal
