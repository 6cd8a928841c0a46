"""Work on Ray (Moritz et al. 2018): tasks beside this process, and processes that train one run together.

The cluster is the one that ``RAY_ADDRESS`` names, or one of this machine's own. All its machines must see folders and
tables at the same paths.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from tonggan import errors
from tonggan.errors import ConfigError, InterruptedRunError, MissingExtraError, TongganError, TrainingError
from tonggan.progress import Progress
from tonggan.runs.fitting import run_recipe
from tonggan.runs.predictor import Predictor
from tonggan.runs.recipe import Recipe

Engine = Literal["local", "ray"]
_ERROR = "error.json"


def require_ray() -> None:
    """Raise MissingExtraError where Ray is not installed."""
    if find_spec("ray") is None:
        raise MissingExtraError.of("ray", extra="scale", purpose="--engine ray")


def _check_processes(processes: int, engine: Engine, sources: Mapping[str, Any]) -> None:
    """Raise the error of processes that cannot train together."""
    if processes == 1 and engine == "local":
        return
    if engine == "local":
        raise ConfigError(
            "--processes",
            got=f"{processes} processes without an engine",
            expected="--engine ray, or processes that torchrun starts",
            remedy="Write 'torchrun --standalone --nproc-per-node K -m tonggan' instead of 'tonggan'",
        )
    if any(table is not None for table in sources.values()):
        raise ConfigError(
            "--engine ray",
            got="a table in memory",
            expected="a table in a file, which all processes can read",
            remedy="Write the table to a file first",
        )
    require_ray()


@contextmanager
def cluster(*, shows: bool) -> Iterator[None]:
    """Ray, connected while inside, unless it was before; ``shows`` lets workers' lines come here."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what is done here is told to nobody
    is_own = not ray.is_initialized()
    if is_own:
        ray.init(include_dashboard=False, configure_logging=False, log_to_driver=shows)
    try:
        yield
    finally:
        if is_own:
            ray.shutdown()


def run_by(
    engine: Engine,
    recipe: Recipe,
    *,
    processes: int,
    out: Path,
    sources: Mapping[str, Any],
    time_limit: float | None,
    started: float | None,
    overwrite: bool,
    progress: Progress,
) -> Predictor:
    """``run_recipe``, here or by ``processes`` of Ray Train, each with a GPU where the cluster has as many.

    Raises:
        ConfigError: several processes without Ray, or with tables in memory.
        MissingExtraError: Ray is not installed.
        TongganError: what ``run_recipe`` raises, in whatever process.
    """
    _check_processes(processes, engine, sources)
    if engine == "ray":
        _run_on_ray(recipe, out=out, processes=processes, time_limit=time_limit, overwrite=overwrite, progress=progress)
        return Predictor.load(out)
    return run_recipe(
        recipe,
        out=out,
        sources=sources,
        time_limit=time_limit,
        started=started,
        overwrite=overwrite,
        progress=progress,
    )


def _run_on_ray(
    recipe: Recipe, *, out: Path, processes: int, time_limit: float | None, overwrite: bool, progress: Progress
) -> None:
    import ray
    from ray.train import RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    with cluster(shows=True), tempfile.TemporaryDirectory(prefix="tonggan-") as folder:
        work = {
            "recipe": recipe.to_dict(), "out": str(out.absolute()), "time_limit": time_limit, "overwrite": overwrite,
            "folder": os.getcwd(), "error": str(Path(folder, _ERROR)),  # noqa: PTH109 (as the other process reads it)
        }  # fmt: skip
        gpus = cast("Any", ray).cluster_resources().get("GPU", 0)
        scaling = ScalingConfig(num_workers=processes, use_gpu=gpus >= processes)
        progress.say(f"{processes} processes on Ray")
        trainer = TorchTrainer(
            _take_part, train_loop_config=work, scaling_config=scaling, run_config=RunConfig(storage_path=folder)
        )
        try:
            trainer.fit()
        except KeyboardInterrupt as error:
            raise InterruptedRunError(
                "training",
                got="a request to stop",
                expected="to run to the end",
                remedy="Run the same command to resume from the last checkpoint",
            ) from error
        except TrainingFailedError as error:
            raise _error_of(Path(folder, _ERROR), error) from error


def _take_part(work: Mapping[str, Any]) -> None:
    """What each process does; Ray Train has named its rank in the environment, and connected it."""
    os.chdir(work["folder"])
    is_main = os.environ["RANK"] == "0"
    try:
        run_recipe(
            Recipe.parse(work["recipe"], who="recipe"),
            out=Path(work["out"]),
            time_limit=work["time_limit"],
            overwrite=work["overwrite"],
            progress=_Lines() if is_main else Progress(),
        )
    except TongganError as error:
        told = {"kind": type(error).__name__, "who": error.who, "got": error.got, "expected": error.expected}
        if is_main:
            Path(work["error"]).write_text(json.dumps({**told, "remedy": error.remedy}), encoding="utf-8")
        raise


class _Lines(Progress):
    """Prints what is said, which Ray carries to the process that waits."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 (its only way)

    def warn(self, text: str) -> None:
        self.say(text)

    def warn_of_data(self, text: str) -> None:
        self.say(text)


def _error_of(path: Path, failed: Exception) -> TongganError:
    """The error that a process has left at ``path``; one of itself where it has left none."""
    if path.exists():
        told = json.loads(path.read_text(encoding="utf-8"))
        kind = getattr(errors, told.pop("kind"), TrainingError)
        return kind(told.pop("who"), **told)
    lines = str(failed).strip().splitlines()
    return TrainingError(
        "training on Ray",
        got=lines[-1] if lines else type(failed).__name__,
        expected="all processes to run to the end",
        remedy="Look at the lines above, then run the same command to resume from the last checkpoint",
    )
