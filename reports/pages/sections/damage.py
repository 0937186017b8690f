"""What quantising does to the numbers of a model, operator by operator."""

from __future__ import annotations

from math import isfinite, sqrt

from farm.accuracy.damage import Damage
from farm.units import counted
from reports.pages.section import Chart, Role, Section, distinct, label, rounded, table

_DRAWN = 15  # operators, the most damaged ones
_ROW, _AXES = 30, 110  # pixels
_AT_OUTPUTS = "error at the model's outputs"
_AT_OPERATORS = "error where the operator ends"
_QUERY = "farm query \"SELECT details FROM trial WHERE id = '{}'\" --json"
_NOTE = (
    "Root mean square of the error over that of the float values, on a few samples of the "
    "calibration data; of several outputs the sum. Together operators do another damage than each "
    "alone."
)


def damage(device: str, candidate: str, trial: str, found: Damage) -> Section:
    """A bar for each operator by the error that quantising it alone makes, the largest first.

    candidate: whose damage it is, a label. trial: its id. found: of one operator or more.
    """
    where = _AT_OUTPUTS if found.at_outputs else _AT_OPERATORS
    first, power = found.power[0]
    return Section(
        f"damage-{device}",
        f"Damage by operator on {device}",
        f"Quantised alone, {first} does the most of {counted(len(found.power), 'operator')} of "
        f"{candidate}: {_share(power)}, the {where} as a share of the values.",
        _chart(found, where),
        table(
            ("operator", where),
            [(name, _share(each)) for name, each in found.power],
            where,
        ),
        notes=(_NOTE,),
        commands=(_QUERY.format(trial),),
    )


def _share(power: float) -> str:
    """``1.2 %`` of a noise power of 0.000144."""
    return f"{100 * sqrt(power):.2g} %" if isfinite(power) else "not finite"


def _chart(found: Damage, where: str) -> Chart | None:
    drawn = [(name, 100 * sqrt(each)) for name, each in found.power if isfinite(each)][:_DRAWN]
    if not drawn:
        return None
    trace = {
        "type": "bar",
        "orientation": "h",
        "x": rounded([share for _, share in drawn]),
        "y": distinct([label(name) for name, _ in drawn]),
        "marker": {"color": Role.BAD},
        "hoverinfo": "text",
        "hovertext": [f"{label(name)}: {share:.2g} %" for name, share in drawn],
    }
    layout = {
        "xaxis": {"title": {"text": f"{where}, %"}, "rangemode": "tozero"},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
    }
    return Chart((trace,), layout, _AXES + _ROW * len(drawn))
