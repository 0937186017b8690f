"""Options of OpenVINO: as a provider of ONNX Runtime, and by its own package."""

from __future__ import annotations

from dataclasses import replace

from farm.candidate import Engine, OpenVino, OpenVinoGpu, OpenVinoRuntime
from tuner.search.options.family import Family, Width

_STREAMS = (1, 2, 4)  # that GPUs have room for


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


class _Gpu(Family):
    default = OpenVinoGpu()

    def main(self, width: Width) -> list[Engine]:
        many: list[Engine] = [OpenVinoGpu(hint="throughput")] if width.many else []
        return [OpenVinoGpu(), *many]

    def near(self, engine: OpenVinoGpu, width: Width) -> list[Engine]:
        if not width.many:
            return []
        is_latency = engine.hint == "latency"
        return [
            replace(engine, hint="throughput" if is_latency else "latency"),
            *(replace(engine, streams=s) for s in (0, *_STREAMS)),
        ]


PLUGIN = _Plugin()
RUNTIME = _Runtime()
GPU = _Gpu()
