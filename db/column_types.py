"""How special values are kept in columns."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, LargeBinary, Text
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC; SQLite has no time zones and would lose it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Float64Samples(TypeDecorator[tuple[float, ...]]):
    """Raw samples as little-endian float64, one after another."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, _dialect: Dialect) -> bytes:
        """To bytes."""
        samples = value or ()
        return struct.pack(f"<{len(samples)}d", *samples)

    def process_result_value(self, value: bytes | None, _dialect: Dialect) -> tuple[float, ...]:
        """From bytes."""
        data = value or b""
        return struct.unpack(f"<{len(data) // 8}d", data)


class NameList(TypeDecorator[tuple[str, ...]]):
    """Names as a JSON list, which databases can take apart."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, _dialect: Dialect) -> str:
        """To text."""
        return json.dumps(list(value or ()))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> tuple[str, ...]:
        """From text."""
        return tuple(json.loads(value or "[]"))


class Message(TypeDecorator[str]):
    """Text from elsewhere. A candidate that crashes may say anything, also what is not text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str:
        """Without NUL and lone surrogates, which databases refuse."""
        text = (value or "").replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text.encode("utf-8", "replace").decode("utf-8")
