"""Where nights and bisections are measured, as commands begin them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from db.store import Store
    from farm.devices.profile import DeviceProfile
    from tuner.events import Listener
    from tuner.nightly.case import Place
    from workers.executor import Executor


def place_of(
    store: Store,
    known: Mapping[str, DeviceProfile],
    listen: Listener,
    say: Callable[[str], None],
) -> Place:
    """This machine. known: profiles by name. say: is told of environments that are made."""
    from tuner.nightly.case import Place
    from tuner.nightly.states.software import environment_with
    from workers.executor import LocalExecutor
    from workers.trials.stored.cache import default_folder

    def executors(profile: DeviceProfile) -> Executor:
        return LocalExecutor([profile], default_folder(), known)

    def environment_of(engine: str, versions: Mapping[str, str]) -> str:
        return environment_with(engine, versions, say)

    return Place(store, known, executors, environment_of, listen)
