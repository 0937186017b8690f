"""What runs where: for each kind of device, engine and type of operator, what that takes.

An engine that is here is asked itself, and what it says is entered as it comes: the code
generator says of each operator why it has no kernel for it, and engines that load a model say
which operators they took. Devices that are not there have tables (``operators.toml``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Any

from onnx import AttributeProto, ModelProto, NodeProto
from onnx.helper import get_attribute_value
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from farm.devices.profile import DeviceKind
from farm.errors import PlanError
from farm.model.graph import Graph

_DEFAULT_DOMAINS = frozenset({"", "ai.onnx"})
_TABLE = "operators.toml"


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """What of an operator decides whether it can run somewhere.

    opset: version of its domain in the model. types: of its tensors, by ``Tensor.dtype``, unknown
    ones left out. ranks: of these, where known. attributes: plain values by name.
    """

    name: str
    op_type: str
    domain: str
    opset: int
    types: tuple[str, ...]
    ranks: tuple[int, ...]
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Support:
    """What a kernel of one type of operator takes; what is left empty is not limited.

    types: of all its tensors. ranks: the least and the most dimensions of the tensors.
    attributes: values that each may have; one that is not named may have any.
    since, until: the first and the last operator set; 0 for no last one.
    source: where this is known from.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", defer_build=True)
    source: str
    types: tuple[str, ...] = ()
    ranks: tuple[int, int] | None = None
    attributes: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    since: Annotated[int, Field(ge=1)] = 1
    until: Annotated[int, Field(ge=0)] = 0

    def obstacle(self, operator: OperatorFacts) -> str:
        """What of an operator it does not take; empty for nothing."""
        for kind in operator.types:
            if self.types and kind not in self.types:
                return f"a tensor is {kind}, and it takes {', '.join(self.types)}"
        for rank in operator.ranks:
            if self.ranks is not None and not self.ranks[0] <= rank <= self.ranks[1]:
                return f"a tensor has {rank} dimensions, and it takes {_between(self.ranks)}"
        for name, allowed in self.attributes.items():
            value = operator.attributes.get(name)
            if value is not None and value not in allowed:
                known = ", ".join(map(str, allowed))
                return f"its attribute {name} is {value}, and it takes {known}"
        if operator.opset < self.since or (self.until and operator.opset > self.until):
            last = f" to {self.until}" if self.until else " and newer ones"
            return f"it is of operator set {operator.opset}, and it takes {self.since}{last}"
        return ""


Key = tuple[DeviceKind, str]
"""Kind of device, and kind of engine."""


@dataclass(frozen=True, slots=True)
class Registry:
    """What each engine on each kind of device takes, by type of operator.

    An engine that is not in it takes everything: nothing is known against it.
    """

    supports: Mapping[Key, Mapping[str, Support]] = field(default_factory=dict)

    def obstacle(self, kind: DeviceKind, engine: str, device: str, operator: OperatorFacts) -> str:
        """Why an operator cannot run on a device, one sentence; empty where it can."""
        table = self.supports.get((kind, engine))
        if table is None:
            return ""
        found = table.get(operator.op_type) if operator.domain in _DEFAULT_DOMAINS else None
        missing = "it has no kernel for this operator"
        why = missing if found is None else found.obstacle(operator)
        if not why:
            return ""
        return f"{operator.op_type} {operator.name} cannot run on {device} with {engine}: {why}."


def read_registry(text: str, what: str) -> Registry:
    """A registry from TOML: a table ``[KIND.ENGINE]`` with a :class:`Support` for each operator.

    ``source`` of the table holds for every operator that has none of its own.

    what: names the text in messages. Raises PlanError: not TOML, an unknown kind of device, a
    missing or unknown key, a wrong value.
    """
    try:
        tables = tomllib.loads(text)
        return Registry({key: _checked(rows) for key, rows in _tables(tables)})
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{what} is not valid TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise PlanError(f"{what}: at {where}: {first['msg']}.") from None
    except ValueError as error:
        raise PlanError(f"{what}: {error}.") from None


def known_registry() -> Registry:
    """What comes with the farm: tables of devices that are not there."""
    text = (resources.files("farm.plan.placement") / _TABLE).read_text(encoding="utf-8")
    return read_registry(text, f"The table {_TABLE}")


def operator_facts(model: ModelProto, graph: Graph) -> dict[str, OperatorFacts]:
    """Facts of every operator of the outermost graph by name. graph: the view of the model."""
    opsets = {each.domain: each.version for each in model.opset_import}
    return {node.name: _facts(node, graph, opsets) for node in model.graph.node}


def _facts(node: NodeProto, graph: Graph, opsets: Mapping[str, int]) -> OperatorFacts:
    names = dict.fromkeys(name for name in (*node.input, *node.output) if name)
    tensors = [graph.tensors[name] for name in names if name in graph.tensors]
    return OperatorFacts(
        node.name,
        node.op_type,
        node.domain,
        opsets.get(node.domain, 0),
        tuple(dict.fromkeys(tensor.dtype for tensor in tensors if tensor.dtype)),
        tuple(dict.fromkeys(len(t.shape) for t in tensors if t.shape is not None)),
        {a.name: _value(a) for a in node.attribute},
    )


def _value(attribute: AttributeProto) -> object:
    if attribute.type == AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    return get_attribute_value(attribute)


def _tables(tables: Mapping[str, Any]) -> Iterable[tuple[Key, Mapping[str, Any]]]:
    for kind, engines in tables.items():
        for engine, given in engines.items():
            rows = dict(given)
            source = {"source": rows.pop("source")} if "source" in rows else {}
            yield (DeviceKind(kind), engine), {name: source | row for name, row in rows.items()}


_ROWS: TypeAdapter[dict[str, Support]] = TypeAdapter(dict[str, Support])


def _checked(rows: Mapping[str, Any]) -> dict[str, Support]:
    return _ROWS.validate_python(rows)


def _between(limits: tuple[int, int]) -> str:
    least, most = limits
    return str(least) if least == most else f"{least} to {most}"
