"""Python processes that are started beside this one, in whatever folder the user stands: its files are never imported.

``python -m`` and ``python -c`` put that folder first on the path of modules, and so does an empty or relative entry of
``PYTHONPATH``. Where the folder is somebody's repository, its ``sqlite3.py`` would run.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

_SAFE, _PATH = "PYTHONSAFEPATH", "PYTHONPATH"
_HOME = str(Path(__file__).parents[1])  # where this package is found
_RUN = "import runpy, sys; sys.path[:] = {path!r}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"


def isolated_command(module: str, *arguments: str) -> list[str]:
    """The command that runs ``module`` with the modules that this process can import, but for those of the folder.

    The new process reads none of the environment's ``PYTHON…`` variables and no ``sitecustomize`` of the folder.
    """
    path = [each for each in sys.path if Path(each).is_absolute()]
    path += [] if _HOME in path else [_HOME]
    return [sys.executable, "-I", "-c", _RUN.format(path=path, module=module), *arguments]


def isolated_environment() -> dict[str, str]:
    """The environment of this process for a Python of somebody else's making: it imports nothing from the folder."""
    entries = [entry for entry in os.environ.get(_PATH, "").split(os.pathsep) if Path(entry).is_absolute()]
    environment = {name: value for name, value in os.environ.items() if name != _PATH}
    return {**environment, _SAFE: "1", **({_PATH: os.pathsep.join(entries)} if entries else {})}


@contextmanager
def isolated_children() -> Iterator[None]:
    """While it lasts, Python processes that a library starts import nothing from the folder, as multiprocessing's."""
    former = dict(os.environ)
    _set_variables(isolated_environment())
    try:
        yield
    finally:
        _set_variables(former)


def forget_folder() -> None:
    """Take what an empty or relative entry of ``PYTHONPATH`` stands for off this process's path of modules."""
    entries = os.environ[_PATH].split(os.pathsep) if _PATH in os.environ else []
    unwanted = {os.path.abspath(entry) for entry in entries if not Path(entry).is_absolute()} - {_HOME}  # noqa: PTH100
    sys.path[:] = [each for each in sys.path if each not in unwanted]


def end_with_input(*, within: float = 5.0) -> None:
    """From now on the process ends ``within`` seconds of the end of standard input, whatever it is at then.

    Who serves over standard input is wanted no longer once that ends, but may be indexing, or waiting for a thread.
    """
    given, (reading, writing) = os.dup(0), os.pipe()
    os.dup2(reading, 0)
    os.close(reading)

    def pass_on() -> None:
        with suppress(OSError):  # nobody reads any more
            while piece := os.read(given, 1 << 16):
                while piece:
                    piece = piece[os.write(writing, piece) :]
        os.close(writing)
        time.sleep(within)
        end_process()

    threading.Thread(target=pass_on, name="tonggan-input", daemon=True).start()


def end_process() -> NoReturn:
    """End with 0 at once: the interpreter's own end waits for threads, and aborts where compiled code is at work."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _set_variables(environment: dict[str, str]) -> None:
    for name in (_SAFE, _PATH):
        if name in environment:
            os.environ[name] = environment[name]
        else:
            os.environ.pop(name, None)
