"""What a user wrote, checked against a schema: every mistake with its path and what is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from reco.errors import ConfigError
from reco.suggest import unknown

T = TypeVar("T")
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


def validate(model: type[T], content: object, source: str, prefix: str = "") -> T:
    """Check content against a schema. source: names the file; prefix: path of the content in it.

    Raises ConfigError with one line per mistake: its path, what is wrong, what is allowed.
    """
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        lines = [_explain(model, e, prefix) for e in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None


def _explain(model: type, error: Mapping[str, Any], prefix: str) -> str:
    location = [str(part) for part in error["loc"]]
    path = ".".join([prefix, *location] if prefix else location) or "the file"
    if error["type"] in UNKNOWN:
        return unknown(f"{path}: unknown key", location[-1], keys_at(model, location[:-1]))
    text = error["msg"].removeprefix("Value error, ")
    hint = _description(model, location)
    return f"{path}: {text[:1].lower()}{text[1:]} (got {_short(error['input'])}){hint}"


def keys_at(model: Any, location: Sequence[str]) -> list[str]:
    """Keys allowed below a location of a schema (a pydantic model or a dataclass)."""
    return list(_annotations(_below(model, location)))


def _below(model: Any, location: Sequence[str]) -> Any:
    for part in location:
        listed = part.isdigit() and get_args(model)
        model = listed[0] if listed else _annotations(model).get(part)
    return model


def _annotations(model: Any) -> dict[str, Any]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    if isinstance(model, type) and is_dataclass(model):
        return {field.name: field.type for field in fields(model)}
    return {}


def _description(model: Any, location: Sequence[str]) -> str:
    """`; ` and what the schema says of a key, such as its unit."""
    owner = _below(model, location[:-1])
    if not (location and isinstance(owner, type) and issubclass(owner, BaseModel)):
        return ""
    field = owner.model_fields.get(location[-1])
    return f"; {field.description}" if field and field.description else ""


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
