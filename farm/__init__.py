"""The domain of the farm: models, graphs, devices, candidates, measurements, compile passes.

Pure functions over values: nothing here starts a process, opens a database or prints.
"""

from farm.host.privacy import send_nothing

__version__ = "0.1.0"

send_nothing()
