"""Print the page of every field of a recipe, from the configs themselves.

Run: python docs/fields.py > docs/fields.md
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import sys
import textwrap
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MultipleOf
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tonggan.config import Config
from tonggan.parts import Part
from tonggan.pretraining.base import PretrainRecipe
from tonggan.recommendation.config import RecommendationConfig
from tonggan.runs.recipe import Recipe

HEAD = """# Every field of a recipe

Written by `python docs/fields.py > docs/fields.md` from the configs. [Recipes](recipes.md) tells how to use them: a
field stands in YAML under its section, or on the command line as `--set section.field=value`. Where a section has
kinds, `kind` chooses one, and each kind has its own fields. What `fit --task recommend` and
`pretrain` take stands last.
"""
OTHERS = {"Recommender": RecommendationConfig, "Pretraining": PretrainRecipe}
SIGNS = {Ge: ("ge", "≥"), Gt: ("gt", ">"), Le: ("le", "≤"), Lt: ("lt", "<"), MultipleOf: ("multiple_of", "multiple of")}


def main() -> None:
    """Print the page."""
    sys.stdout.write(render())


def render() -> str:
    """The page as Markdown."""
    found = dict.fromkeys(groups(Recipe, path="", of=""))
    told = [("Recipe", Recipe), *found]
    for name, other in OTHERS.items():
        known = {config for _, config in told}
        own = dict.fromkeys(groups(other, path="", of=""))
        told += [(name, other), *((title, config) for title, config in own if config not in known)]
    return "\n".join([HEAD, *(section(title, config) for title, config in told)])


def groups(
    config: type[Config], *, path: str, of: str, above: Sequence[type[Config]] = ()
) -> Iterator[tuple[str, type[Config]]]:
    """The configs below ``config``, each with its title, depth first; ``of`` is the kind that holds them.

    What a kind holds of its own family, which is ``above``, is told there.
    """
    for name, field in config.model_fields.items():
        place = f"{path}{name}" + (".NAME" if get_origin(field.annotation) is dict else "")
        children = [child for child in configs_in(field.annotation) if child not in above]
        for child in children:
            kind = child.model_fields.get("kind")
            title = f"{place}: {kind.default}" if kind else place + of
            yield title, child
            below = groups(child, path=f"{place}.", of=f" of {kind.default}" if kind else "", above=(*above, *children))
            yield from below


def configs_in(annotation: Any) -> list[type[Config]]:
    """The config classes that a type speaks of, of a family all kinds."""
    if isinstance(annotation, type) and issubclass(annotation, Part) and "kinds" in vars(annotation):
        return list(annotation.kinds.values())
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return [annotation]
    return [config for part in get_args(annotation) for config in configs_in(part)]


def section(title: str, config: type[Config]) -> str:
    """A heading, what the config is, and a table of its fields."""
    text = " ".join((config.__doc__ or "").split()).replace("``", "`")
    lines = [f"## {title}", "", text, ""]
    told = docstrings(config)
    rows = [row(name, field, told.get(name, "")) for name, field in config.model_fields.items() if name != "kind"]
    if rows:
        lines += ["| field | type | default | what |", "| --- | --- | --- | --- |", *rows, ""]
    else:
        lines += ["It has no fields of its own.", ""]
    return "\n".join(lines)


def docstrings(config: type[Config]) -> dict[str, str]:
    """The text below each field, those that it inherits among them.

    Read here and not by pydantic (``use_attribute_docstrings``), which would read every config's source at each start.
    """
    found = {}
    for base in reversed(config.__mro__[: config.__mro__.index(Config)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = inspect.cleandoc(text.value.value)
    return found


def row(name: str, field: FieldInfo, what: str) -> str:
    """One field as a row of a Markdown table."""
    what = " ".join((field.description or what).split())
    limits = [f"{sign} {getattr(item, key)}" for item in field.metadata for kind, (key, sign) in SIGNS.items()
              if isinstance(item, kind)]  # fmt: skip
    kind = ", ".join([type_name(field.annotation), *limits])
    cells = (f"`{name}`", kind, default_of(field), what)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def default_of(field: FieldInfo) -> str:
    """The default as it would be written."""
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Config):
        kind = getattr(value, "kind", None)
        return f"`{kind}`" if kind else "below"
    return f"`{json.dumps(value, default=lambda config: config.kind)}`"


def type_name(annotation: Any) -> str:
    """A type as a person reads it in a table."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if isinstance(annotation, type) and issubclass(annotation, Part) and "kinds" in vars(annotation):
        return "a kind"
    if origin in (Union, types.UnionType):
        if all(configs_in(part) for part in parts):
            return "a kind"
        names = dict.fromkeys(type_name(part) for part in parts)
        return " or ".join(names)
    if origin is dict:
        return f"by name: {type_name(parts[1])}"
    if origin in (list, tuple):
        return f"list of {type_name(parts[0])}"
    if annotation is type(None):
        return "null"
    if configs_in(annotation):
        return "below"
    return re.sub(r"^str$", "text", annotation.__name__)


if __name__ == "__main__":
    main()
