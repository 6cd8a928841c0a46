"""Families of parts: configs that make themselves known by their kind, those of other packages among them.

A family is a base class; each kind is a subclass in a file of its own. A field of the base's type takes a config of any
kind. Another package adds its own by an entry point of the group ``tonggan.parts``, which names a module to import.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from abc import ABC
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

from pydantic import ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError, PydanticUndefined

from tonggan.config import Config
from tonggan.errors import ConfigError

ENTRY_POINTS = "tonggan.parts"


class Part(Config, ABC):
    """A config that builds a part of one kind; a direct subclass opens a family.

    Attributes:
        kinds: of a family, its configs by kind.
        default_kind: of a family, the kind that is meant where several have all the given fields.
        is_rare: whether a kind must be named where another one has all the given fields as well.
    """

    kind: str
    kinds: ClassVar[dict[str, type[Part]]]
    default_kind: ClassVar[str | None] = None
    is_rare: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        if Part in cls.__bases__:
            cls.kinds = {}
            return
        kind = cls.model_fields["kind"].default
        # Neither what several kinds have in common, nor a variant of one, is a kind of its own.
        if kind is PydanticUndefined or "kind" not in inspect.get_annotations(cls):
            return
        for base in cls.__mro__:
            if "kinds" in base.__dict__ and issubclass(base, Part):
                known = base.kinds.setdefault(kind, cls)
                if known.__qualname__ != cls.__qualname__ or known.__module__ != cls.__module__:
                    raise TypeError(f"{cls.__module__}.{cls.__name__} has the kind '{kind}' of {known.__module__}")

    @classmethod
    def family(cls) -> dict[str, type[Self]]:
        """The configs of this family by kind, with those of other packages."""
        load_parts()
        return {kind: part for kind, part in sorted(cls.kinds.items()) if issubclass(part, cls)}

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if "kinds" not in cls.__dict__ or not isinstance(data, Mapping):
            return data if "kinds" in cls.__dict__ and isinstance(data, cls) else handler(data)
        family = cls.family()
        kind = data["kind"] if "kind" in data else cls._inferred(data)
        if kind not in family:
            tags = {"discriminator": "kind", "tag": str(kind), "expected_tags": ", ".join(map(repr, family))}
            raise PydanticCustomError("union_tag_invalid", "'{tag}' is none of the kinds {expected_tags}", tags)
        return family[kind].model_validate({**data, "kind": kind})

    @classmethod
    def _inferred(cls, data: Mapping[str, Any]) -> str:
        """The only kind that has all the given fields; so ``--set columns.photo.size=32`` needs no ``kind``."""
        family = cls.family()
        kinds = [kind for kind, config in family.items() if set(data) <= set(config.model_fields)]
        common = [kind for kind in kinds if not family[kind].is_rare] if len(kinds) > 1 else kinds
        if len(common) == 1:
            return common[0]
        if cls.default_kind in kinds:
            return cls.default_kind
        raise PydanticCustomError("no_kind", "name its kind, one of {kinds}", {"kinds": ", ".join(kinds or family)})


def import_modules(package: str) -> None:
    """Import every module of ``package``, so that the kinds in them are known."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


@cache
def load_parts() -> None:
    """Import what other packages name as parts, once.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    for point in entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except Exception as error:  # whatever a foreign module raises
            package = point.dist.name if point.dist else point.value
            raise ConfigError(
                f"package {package}",
                got=f"{type(error).__name__}: {error} from its parts '{point.value}'",
                expected="a module that can be imported",
                remedy=f"Update the package or remove it: pip uninstall {package}",
            ) from error
