"""The commands of ``farm``, one per module: parse, call one function, render."""
