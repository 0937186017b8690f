"""A block as the store keeps it."""

from __future__ import annotations

from datetime import UTC, datetime

from db.records import Block, BlockSample
from workers.jobs import BlockJob, BlockReport


def block_of(
    run: str,
    device: str,
    race: int,
    index: int,
    job: BlockJob,
    report: BlockReport,
    *,
    tolerant: bool,
) -> Block:
    """The block that a report tells of.

    tolerant: it is kept even if the machine was disturbed. So is one in a state that lasts.
    """
    order = {member.trial_id: place for place, member in enumerate(job.members)}
    failures = "; ".join(sorted(f.message for f in report.failures.values()))
    return Block(
        *(run, device, race, index),
        datetime.fromtimestamp(report.started_at, UTC),
        kept=not failures and (tolerant or report.lasts or not report.disturbed),
        samples=tuple(_sample(i, order[i], report) for i in report.samples),
        reason=failures or report.disturbed,
        sentinel_seconds=report.sentinel_seconds,
    )


def _sample(trial_id: str, place: int, report: BlockReport) -> BlockSample:
    sample, energy = report.samples[trial_id], report.energies.get(trial_id)
    return BlockSample(
        trial_id,
        sample.seconds,
        sample.cpu_seconds,
        sample.loops,
        place,
        report.peaks.get(trial_id),
        report.longest.get(trial_id),
        report.loads.get(trial_id),
        energy.joules if energy else None,
        energy.window_seconds if energy else None,
        energy.idle_watts if energy else None,
    )
