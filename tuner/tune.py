"""The whole of ``farm tune``: every device of a run, on one machine or on several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from functools import partial
from threading import Thread

from db.records import RunStatus
from db.store import Store
from farm.devices.profile import DeviceProfile
from tuner.delivery.winners import output_folder
from tuner.device import DeviceTuning, Notebook
from tuner.events import Listener
from tuner.results import DeviceResult, TuneResult
from tuner.runs.life import living
from tuner.runs.start import OpenRun
from workers.executor import Executor

_POLL_SECONDS = 0.5
ExecutorFactory = Callable[[Sequence[DeviceProfile]], AbstractContextManager[Executor]]


def tune_run(
    store: Store, opened: OpenRun, executors: ExecutorFactory, listen: Listener
) -> TuneResult:
    """Tune every device of a run that is there; report on the others.

    Devices of one machine are tuned one after the other, because they would disturb each other;
    those of several machines at the same time. ``listen`` may then be called by several threads.
    A KeyboardInterrupt ends the run as interrupted, with everything kept and the best so far
    delivered; a second one ends that, too.
    Of a run that is finished nothing more is measured: what it found is delivered again.

    Raises StoreError. Raises InputError: the data or the metric do not suit the model's outputs,
    the winner cannot be written, or another process works on the run.
    """
    with living(store, opened) as life:
        notebook = Notebook(store, opened.name)
        devices = [
            DeviceTuning(profile, store, life, notebook, listen)
            for profile in life.opened.profiles
        ]
        tuning = _Tuning(devices, one_by_one=store.in_memory)
        result = tuning.run(life.opened, executors)
        life.status = _status(result)
    return result


def _status(result: TuneResult) -> RunStatus:
    if result.interrupted:
        return RunStatus.INTERRUPTED
    return RunStatus.FINISHED if result.any_tuned else RunStatus.FAILED


class _Tuning:
    """One invocation of a run. one_by_one: also devices of different machines."""

    def __init__(self, devices: Sequence[DeviceTuning], *, one_by_one: bool) -> None:
        self._devices = devices
        self._one_by_one = one_by_one
        self._results: dict[str, DeviceResult] = {}
        self._interrupted = False

    def run(self, opened: OpenRun, executors: ExecutorFactory) -> TuneResult:
        """Tune all devices."""
        known = {device.name: device.without_worker() for device in self._devices}
        self._results = {name: result for name, result in known.items() if result is not None}
        present = [profile for profile in opened.profiles if profile.name not in self._results]
        try:
            if present:
                with executors(present) as executor:
                    self._on_machines(executor)
        except KeyboardInterrupt:
            self._interrupted = True
        results = (self._results.get(d.name) or d.not_reached() for d in self._devices)
        return TuneResult(
            opened.name,
            str(opened.subject.model.path),
            opened.subject.model.sha256,
            tuple(results),
            str(output_folder(opened)),
            self._interrupted,
            opened.request.objective,
            opened.request.threads,
        )

    def _on_machines(self, executor: Executor) -> None:
        machines: dict[str, list[DeviceTuning]] = {}
        for device in self._devices:
            if device.name not in self._results:
                machine = "" if self._one_by_one else executor.machine(device.name)
                machines.setdefault(machine, []).append(device)
        if len(machines) > 1:
            self._at_the_same_time(machines, executor)
        for devices in machines.values() if len(machines) == 1 else ():
            self._one_after_the_other(devices, executor)

    def _one_after_the_other(self, devices: Iterable[DeviceTuning], executor: Executor) -> None:
        """Tune the devices of one machine, until one of them is interrupted."""
        for device in devices:
            try:
                self._results[device.name] = device.run(executor)
            except KeyboardInterrupt:
                self._interrupted = True
                self._results[device.name] = device.interrupted(executor)
            if self._interrupted:
                return

    def _at_the_same_time(
        self, machines: dict[str, list[DeviceTuning]], executor: Executor
    ) -> None:
        """Tune the devices of each machine in a thread; what one raises ends all."""
        waiting = {
            _in_thread(partial(self._one_after_the_other, devices, executor))
            for devices in machines.values()
        }
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
                for each in done:
                    each.result()
        except BaseException:
            self._interrupted = True
            executor.interrupt()
            wait(waiting)
            raise


def _in_thread(work: Callable[[], None]) -> Future[None]:
    """Begin work whose thread does not outlive this process."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            done.set_exception(error)
        else:
            done.set_result(None)

    Thread(target=run, daemon=True).start()
    return done
