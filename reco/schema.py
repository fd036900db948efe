"""What a user wrote: YAML read, and checked against a schema; every mistake with its path."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from reco.errors import ConfigError
from reco.suggest import unknown

T = TypeVar("T")
UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


MOST_MISTAKES = 20
"""Mistakes of one file that are told."""
LONGEST = 1_000_000
"""Characters of a document whose aliases are written out."""
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel = 2


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file that must hold keys and values. Raises ConfigError."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{file}: binary, not YAML; `reco run PIPELINE INPUT` takes the pipeline, such as "
            "lartpc, before the input"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from None
    tree = parse_yaml(text, str(file))
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: must hold `key: value` lines, such as `name: generic`")
    return tree


def parse_yaml(text: str, source: str) -> Any:
    """Plain YAML, without tags that make objects. source: what messages name."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{source}: not valid YAML: nested too deeply") from None
    except Exception as error:  # a date of month 99, !!int of a word: the loader lets Python raise
        raise ConfigError(f"{source}: not valid YAML: {error}") from None


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice; plain YAML would keep the last one silently. Refuses aliases
    of aliases of aliases..., of which few lines are more than any memory once they are copied."""

    def construct_document(self, node: yaml.Node) -> Any:
        if _length(node, {}) > LONGEST:
            raise yaml.MarkedYAMLError(
                problem=f"more than {LONGEST} characters, with what its aliases stand for written "
                "out; write less, or name less of it by alias",
                problem_mark=node.start_mark,
            )
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for where, _ in node.value:
            key = self.construct_object(where, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {shown(key)} stands twice", problem_mark=where.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _length(node: yaml.Node, lengths: dict[int, int]) -> int:
    """About the characters of a node with all aliases written out. lengths: by id, known so far."""
    if isinstance(node, yaml.ScalarNode):
        return 1 + len(node.value)
    if id(node) not in lengths:
        lengths[id(node)] = LONGEST  # of an alias within itself there is no end
        pairs = isinstance(node, yaml.MappingNode)
        parts = chain.from_iterable(node.value) if pairs else node.value
        lengths[id(node)] = 1 + sum(_length(part, lengths) for part in parts)
    return lengths[id(node)]


def shown(value: object) -> str:
    """A value as a message has it: not all of it, where it is long or deep."""
    return _SHORT.repr(value)


def validate(model: type[T], content: object, source: str, prefix: str = "") -> T:
    """Check content against a schema. source: names the file; prefix: path of the content in it.

    Raises ConfigError with one line per mistake: its path, what is wrong, what is allowed.
    """
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        lines = [_explain(model, e, prefix) for e in error.errors()[:MOST_MISTAKES]]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None


def _explain(model: type, error: Mapping[str, Any], prefix: str) -> str:
    location = [str(part) for part in error["loc"]]
    path = ".".join([prefix, *location] if prefix else location) or "the file"
    if error["type"] in UNKNOWN:
        return unknown(f"{path}: unknown key", location[-1], keys_at(model, location[:-1]))
    text = error["msg"].removeprefix("Value error, ")
    hint = _description(model, location)
    return f"{path}: {text[:1].lower()}{text[1:]} (got {shown(error['input'])}){hint}"


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
