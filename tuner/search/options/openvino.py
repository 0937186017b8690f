"""Options of OpenVINO: as a provider of ONNX Runtime, and by its own package."""

from __future__ import annotations

from dataclasses import replace

from farm.candidate import Engine, OpenVino, OpenVinoRuntime
from tuner.search.options.family import Family, Width


class _Plugin(Family):
    default = OpenVino()

    def main(self, width: Width) -> list[Engine]:
        return [OpenVino(threads=t) for t in width.counts]

    def near(self, engine: OpenVino, width: Width) -> list[Engine]:
        threads: list[Engine] = [replace(engine, threads=t) for t in width.options]
        return [*threads, replace(engine, pinning=not engine.pinning)]


class _Runtime(Family):
    default = OpenVinoRuntime()

    def main(self, width: Width) -> list[Engine]:
        engines: list[Engine] = [OpenVinoRuntime(threads=t) for t in width.counts]
        if width.many:
            most = width.counts[-1]
            engines.append(OpenVinoRuntime(threads=most, hint="throughput"))
            engines += [
                OpenVinoRuntime(threads=most, hint="throughput", streams=s) for s in width.counts
            ]
        return engines

    def near(self, engine: OpenVinoRuntime, width: Width) -> list[Engine]:
        threads: list[Engine] = [replace(engine, threads=t) for t in width.options]
        return [
            *threads,
            replace(engine, pinning=not engine.pinning),
            *(self._for_many(engine, width) if width.many else []),
        ]

    def _for_many(self, engine: OpenVinoRuntime, width: Width) -> list[Engine]:
        """Hint and streams: of one caller, requests come one after the other in any case."""
        is_latency = engine.hint == "latency"
        return [
            replace(engine, hint="throughput" if is_latency else "latency"),
            *(replace(engine, streams=s) for s in (0, *width.counts)),
        ]


PLUGIN = _Plugin()
RUNTIME = _Runtime()
