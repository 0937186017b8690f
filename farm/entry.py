"""Where the ``farm`` command begins: with the farm's own modules, whatever PYTHONPATH holds."""

from __future__ import annotations

from importlib import import_module

from farm.host import own_modules


def main() -> None:
    """Entry point of the console script."""
    own_modules.put_first()
    # Named as a text: nothing below the command line imports it, and this only hands over to it.
    import_module("cli").main()
