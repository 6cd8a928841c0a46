"""Every example of the README files and of docs/ is run as it stands, and what a page shows of its output is compared.

So that this takes seconds, models are tiny and train for two epochs on a small version of the pages' own example
tables, members are fitted on two folds in few steps, and the run that most pages begin with is made once. Commands
marked ``check only`` (they install, fetch or take minutes) are parsed, not run.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import forked
from doc_examples import Block, Command, blocks_of, commands_of, run_command, run_python, shows
from ensemble_scene import PATIENCE, QUICK_MEMBERS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
FIRST = "tonggan fit train.csv --target category --test test.csv --out runs/first"
PAGES = [README, ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CHINESE = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
# Chinese pages have the same blocks as the English ones, and extend.md, which changes the project, its own test.
RUN_PAGES = [page for page in PAGES if page not in CHINESE and page.name != "extend.md" and blocks_of(page)]
TINY = ["training.epochs=2", "training.batch_size=32", "model.dim=16", "audit_alone=false"]
TINY_FLOOR = ["floor.folds=2"]  # of a run that has members


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def first_shop(tmp_path_factory):
    """The shop of the pages, small, with a trained model in ``runs/first``, and what training it printed."""
    folder = tmp_path_factory.mktemp("examples") / "shop"
    example = load(ROOT / "docs" / "example.py")
    example.write_shop(folder, num_train=100, num_test=30)
    example.write_sounds(folder / "sounds", num_each=8)
    example.write_shelves(folder, num_train=40, num_test=30)
    example.write_likes(folder)
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch, cache=folder.parent / "cache")
        (command,) = commands_of(FIRST)
        return folder, run_command(command)


def enter(folder: Path, patch: pytest.MonkeyPatch, *, cache: Path) -> None:
    """Work in ``folder`` as a reader would, with tiny models: what an example sets itself wins."""
    from tonggan.floor import boosted_trees, config
    from tonggan.runs import recipe

    whole = recipe.apply_overrides

    def tiny(data, overrides):
        return whole(whole(data, TINY if data.get("floor") is None else [*TINY, *TINY_FLOOR]), overrides)

    patch.setattr(recipe, "apply_overrides", tiny)
    patch.setattr(config, "_VARIANTS", QUICK_MEMBERS)
    patch.setattr(boosted_trees, "_PATIENCE", PATIENCE)
    forked.instead_of_subprocess("tonggan.runs.footprint", patch)
    patch.chdir(folder)
    patch.setenv("TONGGAN_CACHE", str(cache))
    patch.delenv("TONGGAN_MIRROR", raising=False)
    patch.setenv("COLUMNS", "120")


@pytest.fixture
def shop(first_shop, tmp_path, monkeypatch):
    """A copy of the shop for one page, without a cache of its own: the page's tables are the same."""
    first, _ = first_shop
    folder = tmp_path / "shop"
    shutil.copytree(first, folder)
    enter(folder, monkeypatch, cache=first.parent / "cache")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=page_id)
def test_examples_run_and_print_what_the_page_shows(page, shop, first_shop):
    (first,), (_, said) = commands_of(FIRST), first_shop
    printed = ""
    for block in blocks_of(page):
        where = f"{page_id(page)}:{block.line}"
        if block.note.startswith("file: "):
            (shop / block.note.removeprefix("file: ")).write_text(block.text, encoding="utf-8")
        elif block.language == "bash":
            commands = () if block.note == "check only" else tuple(commands_of(block.text))
            printed = "".join(said if command == first else run_command(command) for command in commands)
        elif block.language == "python":
            printed = run_python(block.text, page=where)
        elif block.language == "text" and printed:
            line = shows(block.text, printed)
            assert line is None, f"{where} shows a line that is not printed: {line}\n\n{printed}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in CHINESE], ids=page_id)
def test_commands_that_are_only_checked_exist(page):
    for block in blocks_of(page):
        if block.language == "bash" and block.note == "check only":
            for command in commands_of(block.text):
                check_command(command)


def check_command(command: Command) -> None:
    program, *arguments = command.words
    program = Path(program).name
    if program == "tonggan":
        parse(arguments)
    elif program == "torchrun":
        parse(arguments[arguments.index("tonggan") + 1 :])
    elif program == "make":
        made = make(*arguments)
        for line in made.splitlines():
            if "tonggan " in line:
                parse(shlex.split(line.split("tonggan ", 1)[1]))
    else:
        assert program in ("pip", "python3", "tensorboard"), f"nobody knows how to check {command.words}"


def parse(arguments: list[str]) -> None:
    """Let the command line read the arguments, and do nothing."""
    import typer

    from tonggan.cli.app import app

    command, name = typer.main.get_command(app), "tonggan"
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, list(arguments))


def make(*arguments: str) -> str:
    """What make would do, with its recipes printed and not run."""
    result = subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_demo_is_the_recipe_the_readme_says():
    assert "tonggan run easy_vqa --out runs/demo" in make("demo")


@pytest.mark.parametrize("page", CHINESE, ids=page_id)
def test_chinese_pages_have_the_blocks_of_the_english_ones(page):
    assert code_blocks(page) == code_blocks(page.with_name(page.name.replace(".zh-CN", "")))


def code_blocks(page: Path) -> list[Block]:
    return [Block(block.language, block.text, block.note, 0) for block in blocks_of(page)]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page_id(page)} links to {link}, which does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in map(anchor_of, headings), f"{page_id(page)} links to {link}, which has no such heading"


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_list_of_fields_is_up_to_date():
    page = (ROOT / "docs" / "fields.md").read_text(encoding="utf-8")
    assert page == load(ROOT / "docs" / "fields.py").render(), "run: python docs/fields.py > docs/fields.md"


@pytest.mark.slow
def test_the_page_on_extending_works_as_it_stands(first_shop, tmp_path):
    """A copy of the project gets the files of the page: its tests pass, its commands run, its run is served."""
    project, page = tmp_path / "project", ROOT / "docs" / "extend.md"
    shutil.copytree(ROOT / "src" / "tonggan", project / "src" / "tonggan", ignore=shutil.ignore_patterns("__pycache__"))
    (project / "tests").mkdir()
    for block in blocks_of(page):
        if block.note.startswith("file: "):
            path = project / block.note.removeprefix("file: ")
            assert not path.exists(), f"{path} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    shop = shutil.copytree(first_shop[0], tmp_path / "shop")
    paths = [project / "src", project / "tests", ROOT / "tests", ROOT / "tests" / "docs"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "TONGGAN_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "extending", str(page), str(project / "tests"), str(shop)]
    result = forked.run(command, cwd=project, env=environment, is_fresh=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "image_patches" in (shop / "runs" / "own" / "recipe.yaml").read_text(encoding="utf-8")
