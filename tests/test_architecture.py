"""The rules of the design, checked on the source itself."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tonggan.alignment import AlignmentConfig
from tonggan.decoders import HeadConfig
from tonggan.encoders import EncoderConfig
from tonggan.floor import MemberConfig
from tonggan.fusion import FusionConfig
from tonggan.language import opening  # noqa: F401 - makes the engines known
from tonggan.language.engine_config import EngineConfig
from tonggan.modalities import InputConfig
from tonggan.parts import Part
from tonggan.pretraining import PretrainingConfig
from tonggan.recommendation import ScorerConfig
from tonggan.tasks import TaskConfig

SOURCE = Path(__file__).parents[1] / "src" / "tonggan"
TESTS = Path(__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# From the ground up: a file imports only from layers before its own, or from its own folder.
LAYERS = [
    ("cells", "encodings", "errors", "files", "openmp", "processes", "validation"),
    ("wording",),
    ("tool_server",),
    ("config", "grammars", "progress", "tokens"),
    ("parts", "stored"),
    ("weights",),
    ("layers",),
    ("native",),
    ("language",),
    ("modalities",),
    ("data",),
    ("decoders",),
    ("encoders",),
    ("alignment",),
    ("fusion",),
    ("models",),
    ("tasks",),
    ("training",),
    ("evaluation",),
    ("floor",),
    ("compression",),
    ("retrieval",),
    ("runs", "recipes"),
    ("recommendation",),
    ("codelm", "pretraining", "space"),
    ("api",),
    ("estimators",),
    ("serving",),
    ("cli",),
    ("__main__",),
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# Slow to import or optional: never at import time, so that ``tonggan --help`` and a missing extra both answer at once.
LAZY = {
    "ctranslate2", "cv2", "datasketch", "detect_secrets", "easy_vqa", "emoji", "faiss", "fastapi", "gguf", "jedi",
    "jieba", "jinja2", "jiwer", "librosa", "lightgbm", "llguidance", "lsprotocol", "matplotlib", "mcp", "onnx",
    "onnxruntime", "onnxscript", "openpyxl", "optuna", "pandas", "peft", "prometheus_client", "pygls", "sacrebleu",
    "sklearn", "soundfile", "soxr", "tantivy", "tensorboard", "tokenizers", "transformers", "tree_sitter",
    "tree_sitter_language_pack", "uvicorn", "xllamacpp",
}  # fmt: skip


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def _trees_are_dropped() -> Iterator[None]:
    yield
    parsed.cache_clear()


def top_level_imports(path: Path) -> Iterator[str]:
    for node in parsed(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def all_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_imports_run_downwards_only() -> None:
    wrong = []
    for path in FILES:
        relative = path.relative_to(SOURCE)
        own = relative.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        assert own in RANK, f"{relative} is in no layer"
        for module in all_imports(path):
            if module.startswith("tonggan."):
                other = layer_of(module)
                if other != own and RANK[other] >= RANK[own]:
                    wrong.append(f"{relative} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_imports_make_no_circle() -> None:
    """Late ones and those for types alone count as well."""
    names = {".".join(("tonggan", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
    left = {
        name: {each for each in imported_files(path) if each in names and each != name} for name, path in names.items()
    }
    while ready := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in ready:
            del left[name]
    assert not left, f"a circle goes through some of {sorted(left)}"


def imported_files(path: Path) -> set[str]:
    """Modules that a file imports, by full name, and what it imports from packages, which may be modules."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_what_scripts_and_tests_import_exists() -> None:
    """A benchmark that runs for hours is not run by any test: what it needs must at least be there."""
    modules = {".".join(("tonggan", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
    modules |= {name.removesuffix(".__init__"): path for name, path in modules.items()}
    known = {name: top_level_names(path) for name, path in modules.items()}
    missing = []
    for folder in ("benchmarks", "docs", "tests"):
        for path in sorted((TESTS.parent / folder).rglob("*.py")):
            for node in ast.walk(parsed(path)):
                if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "tonggan":
                    names = known.get(str(node.module), set())
                    missing += [
                        f"{path.relative_to(TESTS.parent)}: {node.module}.{alias.name}"
                        for alias in node.names
                        if alias.name not in names and f"{node.module}.{alias.name}" not in known
                    ]
    assert not missing, "\n".join(missing)


def top_level_names(path: Path) -> set[str]:
    """Names that a module defines or imports, on any branch of its top level."""
    found, left = set(), list(parsed(path).body)
    while left:
        node = left.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        else:
            left += [each for each in ast.iter_child_nodes(node) if isinstance(each, ast.stmt)]
    return found


def test_few_modules_have_a_single_importer() -> None:
    """What one module alone uses is part of it, unless its name has a meaning of its own."""
    path = TESTS.parent / "benchmarks" / "importers.py"
    spec = importlib.util.spec_from_file_location("importers", path)
    assert spec is not None
    assert spec.loader is not None
    counter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(counter)
    found = counter.single()
    assert len(found) < 60, "\n".join(f"{name} is imported by {by} alone" for name, by in found.items())


def test_no_two_files_of_a_package_have_one_name() -> None:
    """A package is what stands below one folder of ``tonggan``; ``base`` and ``config`` belong to their folder."""
    places: dict[tuple[str, str], list[str]] = {}
    for path in FILES:
        relative = path.relative_to(SOURCE)
        if len(relative.parts) > 1 and path.name not in ("__init__.py", "base.py", "config.py"):
            places.setdefault((relative.parts[0], path.name), []).append(str(relative))
    assert [found for found in places.values() if len(found) > 1] == []


def test_heavy_and_optional_packages_are_imported_lazily() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports {module}"
        for path in FILES
        for module in top_level_imports(path)
        # The estimators are scikit-learn's subclasses; nothing imports their file but whoever asks for one.
        if module.split(".")[0] in LAZY and not (path.name == "estimators.py" and module.startswith("sklearn"))
    ]
    assert not wrong, "\n".join(wrong)


def test_files_and_functions_stay_short() -> None:
    wrong = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > 400:
            wrong.append(f"{path.relative_to(SOURCE)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    wrong.append(f"{path.relative_to(SOURCE)}: {node.name} has {length} lines")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("family", "check"),
    [
        (AlignmentConfig, "check_alignment"),
        (EncoderConfig, "check_encoder"),
        (EngineConfig, "check_engine"),
        (FusionConfig, "check_fusion"),
        (HeadConfig, "check_head"),
        (InputConfig, "check_modality"),
        (MemberConfig, "check_member"),
        (PretrainingConfig, "check_pretraining"),
        (ScorerConfig, "check_scorer"),
        (TaskConfig, "check_task"),
    ],
)
def test_every_part_passes_its_contract_in_a_test_of_its_own(family: type[Part], check: str) -> None:
    shipped = [config for config in family.kinds.values() if config.__module__.startswith("tonggan.")]
    assert shipped
    for config in shipped:  # tests register parts of their own
        *_, folder, module = config.__module__.split(".")
        test = TESTS / folder / f"test_{module}.py"
        assert test.is_file(), f"{config.__name__} has no {test.relative_to(TESTS)}"
        assert check in test.read_text(encoding="utf-8"), f"{test.name} does not call {check}"


def test_every_shipped_recipe_runs_in_a_test() -> None:
    text = (TESTS / "recipes" / "test_recipes.py").read_text(encoding="utf-8")
    assert "recipe_names()" in text


def test_every_file_opens_with_its_purpose() -> None:
    for path in FILES:
        assert ast.get_docstring(parsed(path)), f"{path.relative_to(SOURCE)} opens mute"


def test_no_pickle_and_no_unsafe_load() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text
        assert "torch.load(" not in text or "weights_only=True" in text, f"{path.relative_to(SOURCE)} may unpickle"


@pytest.mark.parametrize("program", ["import tonggan", "from tonggan.cli.app import main; main(['--help'])"])
def test_import_and_help_load_nothing_heavy(program: str) -> None:
    """What takes long to import is loaded where it is used; benchmarks/startup.py measures the time."""
    heavy = sorted({*LAZY, "torch", "pyarrow", "pydantic", "PIL", "safetensors"})
    script = (
        f"import sys\ntry:\n    {program}\nexcept SystemExit: ...\n"
        f"print('loaded', *sorted(set({heavy}) & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.splitlines()[-1] == "loaded"
