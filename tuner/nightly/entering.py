"""What a night measured, or could not, as it goes into the store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from db.night_records import Night, NightValue, Series
from db.records import Software, utc_now
from db.store import Store
from tuner.nightly.case import Compared
from tuner.nightly.details import Details
from tuner.nightly.screen.series import Verdict
from tuner.nightly.states.good import read_good
from workers.fingerprint import software_versions


def enter(store: Store, night: Night, compared: Compared) -> None:
    """What was measured of a series, not judged yet; a first night has the good state."""
    tonight, series = compared.tonight, compared.series
    first = tonight is None
    if first and not series.environment:
        series = replace(series, good=compared.now.to_json())
    store.add_series(series)
    details = Details(
        "" if first else compared.good.key,
        compared.now,
        compared.good,
        compared.environment,
        compared.machine,
        compared.label,
        tonight.ratio if tonight else None,
        tonight.noise if tonight else 0.0,
        tonight.pairs if tonight else 0,
        compared.seconds,
        notes=compared.notes,
    )
    store.add_night_value(
        NightValue(
            series.id,
            night.name,
            utc_now(),
            compared.run,
            Verdict.NOT_YET,
            tonight.log_ratio if tonight else None,
            tonight.uncertainty if tonight else None,
            compared.value,
            tonight.good_value if tonight else None,
            tonight.p_value if tonight else None,
            compared.machine_id,
            compared.software_id,
            details.to_json(),
        )
    )


def enter_failure(store: Store, night: Night, known: Iterable[Series], sentence: str) -> None:
    """That series which there are could not be measured tonight, and why."""
    software = Software.identify(json.dumps(software_versions(), sort_keys=True))
    store.add_software(software)
    for series in known:
        if (good := read_good(series.good)) is None:
            continue
        details = Details("", good, good, judged=True, sentence=sentence)
        nothing = (None,) * 5
        store.add_night_value(
            NightValue(
                *(series.id, night.name, utc_now(), "", Verdict.NOT_MEASURED, *nothing),
                *(night.machine_id, software.id, details.to_json()),
            )
        )
