"""What functions of the API are called with: of another type is an error as every other one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar, cast

from pydantic import ConfigDict, ValidationError, validate_call
from pydantic_core import ErrorDetails

from farm.errors import OptionError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def checked(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The function, whose arguments are made what they are annotated with, as ``"cpu"`` a choice.

    Raises OptionError: one cannot be. As ever TypeError: there is none of that name.
    """
    given = signature(function)

    @cache
    def validated() -> Callable[..., Any]:
        return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(arguments)

    @wraps(function)
    def arguments(*args: _P.args, **kwargs: _P.kwargs) -> dict[str, Any]:
        return given.bind(*args, **kwargs).arguments

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        bound = given.bind(*args, **kwargs)
        try:
            taken = validated()(**bound.arguments)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise OptionError(_sentence(first, bound.arguments)) from None
        return cast("Callable[..., _R]", function)(**taken)

    return call


def _sentence(found: ErrorDetails, arguments: dict[str, Any]) -> str:
    name = str(found["loc"][0])
    if found["type"] == "enum":
        choices = found["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        return f"{name} takes one of {choices}, got '{found['input']}'."
    return f"{name} cannot be {arguments[name]!r}: {found['msg']}."
