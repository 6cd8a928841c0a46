"""Modules of the project that exactly one other imports: to be merged, where they mean nothing by themselves.

Left out is what is found by its place and not by a name: parts of a family (an encoder, a fusion, a task, a rewrite, a
rule of a review, …), public data sets, commands of the command line, and routes of the server. What a package's
``__init__`` hands on counts for the module that it is from, and so does an import within a function.

Run: python benchmarks/importers.py [--verbose]
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
FAMILIES = ("tonggan.data.public.", "tonggan.codelm.optimization.rewrites.", "tonggan.codelm.review.rules.")


def modules() -> dict[str, Path]:
    """Path of each module by its name; a package's is that of its ``__init__``."""
    paths = sorted((SOURCE / "tonggan").rglob("*.py"))
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imports(path: Path) -> set[tuple[str, str]]:
    """What a file imports: modules, and names of them (empty for a module itself)."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
    return found


def handed_on(path: Path) -> set[str]:
    """The names in a file's ``__all__``."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def importers() -> dict[str, set[str]]:
    """Who imports each module that is no package's ``__init__``."""
    paths = modules()
    found = {name: imports(path) for name, path in paths.items()}
    exports = {name: handed_on(path) for name, path in paths.items() if path.name == "__init__.py"}
    origins = {(package, name): module for package in exports for module, name in found[package]}
    result: dict[str, set[str]] = {name: set() for name in paths if name not in exports}
    for importer, imported in found.items():
        for module, name in imported:
            whole = f"{module}.{name}"
            target = whole if whole in paths else origins.get((module, name), module)
            if target in result and target != importer and name not in exports.get(importer, ()):
                result[target].add(importer)
    return result


def is_part(name: str) -> bool:
    """Whether a module is found by its place."""
    text = modules()[name].read_text(encoding="utf-8")
    registers = any(isinstance(node, ast.FunctionDef) and node.name == "register" for node in ast.parse(text).body)
    return registers or 'kind: Literal["' in text or name.startswith(FAMILIES)


def single() -> dict[str, str]:
    """The only importer of each module that has one and is no part."""
    return {name: next(iter(by)) for name, by in sorted(importers().items()) if len(by) == 1 and not is_part(name)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verbose", action="store_true", help="name them, with their lines and their importer's")
    options = parser.parse_args()
    paths = modules()
    found = single()
    if options.verbose:
        lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in paths.items()}
        for name, by in found.items():
            print(f"{lines[name]:4} {name.removeprefix('tonggan.'):40} {lines[by]:4} {by.removeprefix('tonggan.')}")
    print(f"{len(found)} of {len(paths)} modules have one importer")


if __name__ == "__main__":
    main()
