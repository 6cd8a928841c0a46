"""The bug detector of ``tonggan code review``: injected bugs, real fixes, and random bugs against a chosen one's game.

    python benchmarks/code_bugs.py injected PACKAGE… --detector FILE --suspected 0.05   # beside ruff's rules
    python benchmarks/code_bugs.py fixes CLONE… --detector FILE --train CLONE… --functions PACKAGE…
    python benchmarks/code_bugs.py calibrate PACKAGE… --detector FILE --out FILE
    python benchmarks/code_bugs.py game --train PACKAGE… --test PACKAGE… --set max_functions=8000 --seeds 3

Packages are folders of sources that the detector did not learn from; how sure it may be in such is what ``calibrate``
keeps, as files beside those that it learned from are too easy. Injected are as many bugs of each kind, each into
a function of its own; a linter counts as right where it says something new on the changed line. With ``--suspected``
only what scores more than all but this share of the clean functions that the detector was calibrated on is told. Real
fixes are commits that one rewrite makes and whose message speaks of a fix, in clones of projects with their histories:
the function before is the bug, the one after is clean. With ``--train`` the detector first learns from the fixes of
other projects, and from functions of theirs that did not change; tests are left out, as a number there that is another
now was no bug. Alarms are told of functions that did not change for a third of the history, where 5 % of half of them
are flagged. As longer functions have more bugs, two more numbers are told: in how many fixes the version before scores
more than the one after (a half says nothing), and what is located where the longest functions are flagged instead.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from tonggan.cli.console import console_progress
from tonggan.codelm.git import run_git
from tonggan.codelm.review.learned.detector import BugDetector
from tonggan.codelm.review.learned.examples import Example, read_example
from tonggan.codelm.review.learned.fixes import SAYS_FIX, Fix, fixes_of, functions_in
from tonggan.codelm.review.learned.functions import Function, read_functions
from tonggan.codelm.review.learned.game import broken
from tonggan.codelm.review.learned.rewrites import REWRITE_KINDS, Rewrite
from tonggan.codelm.review.learned.training import DetectorTrainingConfig, train_detector
from tonggan.codelm.review.module import is_test
from tonggan.config import apply_overrides

MAX_TOKENS = 200
FALSE_ALARMS = 0.05
MOST_IN_A_COMMIT = 3
MOST_CALIBRATED = 1500
MOST_TOKENS = 512  # of a function with a fix
Bug = tuple[Function, Example, Rewrite, int]  # the right function; the broken one; what broke it; its repair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["injected", "fixes", "calibrate", "game"])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--detector", type=Path)
    parser.add_argument("--train", nargs="+", type=Path, default=[])
    parser.add_argument("--test", nargs="+", type=Path, default=[])
    parser.add_argument("--functions", nargs="+", type=Path, default=[], help="also learned while fixes are")
    parser.add_argument("--any", action="store_true", help="take fixes whatever the message of the commit says")
    parser.add_argument("--commits", type=int, default=8000, help="that are looked at of each project")
    parser.add_argument("--out", type=Path, help="where the tuned or calibrated detector is kept")
    parser.add_argument("--each", type=int, default=100, help="bugs of each kind")
    parser.add_argument("--suspected", type=float, help="share of clean functions that may be suspected")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the trainings")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.what == "injected":
        detector = BugDetector.open(arguments.detector)
        injected(detector, arguments.folders, each=arguments.each, suspected=arguments.suspected)
    elif arguments.what == "fixes":
        real(arguments)
    elif arguments.what == "calibrate":
        calibrate(BugDetector.open(arguments.detector), arguments.folders, arguments.out)
    else:
        game(arguments)


def injected(detector: BugDetector, folders: Sequence[Path], *, each: int, suspected: float | None) -> None:
    bugs, clean = inject(read(folders), each=each)
    least = 0.0 if suspected is None else float(detector.levels[0].quantile(1 - suspected))
    found = judge(detector, bugs, clean, least=least)
    linted = lint(bugs)
    print(f"{len(bugs)} bugs, {len(clean)} functions as they are")
    print("| kind | bugs | located | repaired | ruff |\n| --- | --- | --- | --- | --- |")
    for kind in [*REWRITE_KINDS, "all"]:
        rows = [row for row, bug in enumerate(bugs) if kind in ("all", bug[2].kind)]
        shares = (found["located"][rows].mean(), found["repaired"][rows].mean(), linted[rows].mean())
        print(f"| {kind} | {len(rows)} | " + " | ".join(f"{share:.1%}" for share in shares) + " |")
    print(f"false alarms {found['alarms'].mean():.1%} of functions as they are")


def read(folders: Sequence[Path]) -> list[Function]:
    with console_progress() as progress:
        return read_functions(folders, progress=progress)


def inject(functions: Iterable[Function], *, each: int) -> tuple[list[Bug], list[Example]]:
    """Bugs, ``each`` of a kind, and as many functions as they are."""
    drawn, counts = random.Random(0), Counter[str]()
    pool = sorted(functions, key=lambda function: (function.path, function.line))
    drawn.shuffle(pool)
    bugs: list[Bug] = []
    clean: list[Example] = []
    for function in pool:
        example = read_example(function, max_tokens=MAX_TOKENS)
        if example is None:
            continue
        kinds = [kind for kind in {rewrite.kind for rewrite in example.rewrites} if counts[kind] < each]
        if len(clean) < len(bugs) or not kinds:
            if len(clean) < each * len(REWRITE_KINDS):
                clean.append(example)
            continue
        kind = min(kinds, key=lambda kind: (counts[kind], kind))
        rewrite = drawn.choice([rewrite for rewrite in example.rewrites if rewrite.kind == kind])
        made = broken(example, [rewrite])
        if made is not None and made.repairs[0] is not None:
            counts[kind] += 1
            bugs.append((function, made.example, rewrite, made.repairs[0]))
    return bugs, clean


def judge(
    detector: BugDetector, bugs: Sequence[Bug], clean: Sequence[Example], *, least: float = 0.0
) -> dict[str, np.ndarray]:
    """Whether each bug is located and repaired by the likeliest answer of a score above ``least``, and whether there is
    such an answer in clean functions."""
    located, repaired = [], []
    for _, example, _, repair in bugs:
        guess, score = answer(detector, example)
        repaired.append(score > least and guess == repair)
        located.append(score > least and example.rewrites[guess].token == example.rewrites[repair].token)
    alarms = [answer(detector, example)[1] > least for example in clean]
    return {"located": np.array(located), "repaired": np.array(repaired), "alarms": np.array(alarms)}


def calibrate(detector: BugDetector, folders: Sequence[Path], out: Path) -> None:
    """Keep the scores in ``MOST_CALIBRATED`` functions of packages that the detector did not learn from."""
    pool = sorted(read(folders), key=lambda function: (function.path, function.line))
    random.Random(0).shuffle(pool)
    known = (each for each in pool if read_example(each, max_tokens=MOST_TOKENS) is not None)
    kept = list(islice(known, MOST_CALIBRATED))
    detector.calibrate(kept)
    detector.save(out)
    told = [level for level in detector.levels[0].tolist() if detector.confidence(level) >= 0.5]
    print(f"{len(kept)} functions; {len(told) / detector.levels.shape[1]:.1%} of them are told of as they are")


def lint(bugs: Sequence[Bug]) -> np.ndarray:
    """Whether ruff, with all its rules, says something of the changed line that it does not say of the right one."""
    with tempfile.TemporaryDirectory() as folder:
        for row, (function, example, _, _) in enumerate(bugs):
            (Path(folder) / f"right_{row}.py").write_text(function.text, "utf-8", "replace")
            (Path(folder) / f"wrong_{row}.py").write_text(example.graph.text, "utf-8", "replace")
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "ALL", "--output-format", "json"]
        said = json.loads(subprocess.run([*command, folder], capture_output=True, check=False).stdout)
    places: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for each in said:
        places[Path(each["filename"]).stem].add((each["code"] or "", each["location"]["row"]))
    found = []
    for row, (_, example, _, repair) in enumerate(bugs):
        line = 1 + example.graph.text.count("\n", 0, example.rewrites[repair].edits[0][0])
        new = places[f"wrong_{row}"] - places[f"right_{row}"]
        found.append(any(place == line for _, place in new))
    return np.array(found)


def real(arguments: argparse.Namespace) -> None:
    """Fixes between releases; with projects to train on, the detector first learns from theirs (He et al. 2022)."""
    detector = BugDetector.open(arguments.detector)
    learned, steady_ones = mined(arguments.train, commits=arguments.commits, whatever_said=arguments.any)
    fixes, unchanged = mined(arguments.folders, commits=arguments.commits, whatever_said=arguments.any)
    random.Random(0).shuffle(unchanged)
    print(f"{len(learned)} fixes to learn from, {len(fixes)} to find, {len(unchanged)} unchanged functions", flush=True)
    heads = ("detector", "first guess located", "repaired", "before above after", "flagged", "located", "repaired")
    print(f"| {' | '.join(heads)} |\n" + "| --- " * len(heads) + "|")
    print(f"| as it was | {of_fixes(detector, fixes, unchanged)} |", flush=True)
    if learned:
        config = DetectorTrainingConfig.parse(
            apply_overrides({"game": False, "bugs_of_each": 1, "max_tokens": MOST_TOKENS}, arguments.set),
            who="settings of the training",
        )
        others = [*read(arguments.functions), *steady_ones]
        right = [fix.before._replace(text=fix.after) for fix in learned]
        functions = [*right, *sorted(others, key=lambda each: (each.path, each.line))]
        with tempfile.TemporaryDirectory() as folder, console_progress() as progress:
            tuned = train_detector(
                functions, folder=Path(folder) / "run", fixes=learned, start=detector, config=config, progress=progress
            ).detector
        if arguments.out:
            tuned.save(arguments.out)
        print(f"| tuned on fixes | {of_fixes(tuned, fixes, unchanged)} |", flush=True)


def of_fixes(detector: BugDetector, fixes: Sequence[Fix], unchanged: Sequence[Function]) -> str:
    """Shares of fixes that the first guess locates and repairs, and in which the version before scores more; where at
    most 5 % of half of the unchanged functions are flagged, the share of the other half that is, and of fixes that are
    located and repaired then; and at last what is located where the longest are flagged instead."""
    examples = [example for each in unchanged if (example := read_example(each, max_tokens=MOST_TOKENS)) is not None]
    clean = np.array([(answer(detector, each)[1], len(each.graph.tokens)) for each in examples])
    half = len(clean) // 2
    score_above, tokens_above = np.quantile(clean[:half], 1 - FALSE_ALARMS, axis=0)
    rows = []
    for fix in fixes:
        example = Example.of(fix.before.text, fix.before.around)
        since = read_example(fix.before._replace(text=fix.after), max_tokens=MOST_TOKENS)
        guess, score = answer(detector, example)
        is_above = since is None or score > answer(detector, since)[1]
        same = example.rewrites[guess].token == example.rewrites[fix.answer].token
        is_long = len(example.graph.tokens) > tokens_above
        rows.append((same, guess == fix.answer, is_above, score > score_above, is_long))
    located, repaired, above, told, is_long = np.array(rows).T
    flagged = (clean[half:, 0] > score_above).mean()
    shares = (located.mean(), repaired.mean(), above.mean(), flagged, (located & told).mean(), (repaired & told).mean())
    longest = f"{(located & is_long).mean():.1%} located where the longest are flagged"
    return " | ".join([*(f"{share:.1%}" for share in shares), longest])


def mined(projects: Sequence[Path], *, commits: int, whatever_said: bool) -> tuple[list[Fix], list[Function]]:
    """The fixes of all projects, each once, and functions of theirs that did not change for long; no tests."""
    fixes: dict[str, Fix] = {}
    unchanged: list[Function] = []
    for project in projects:
        found = list(fixes_of(project.resolve(), limit=commits))
        count = Counter(fix.commit for fix in found)  # more than a few are a renaming
        few = [fix for fix in found if count[fix.commit] <= MOST_IN_A_COMMIT and not is_test(fix.before.path)]
        made = few if whatever_said else [fix for fix in few if SAYS_FIX.search(fix.subject)]
        fixes |= {fix.before.text: fix for fix in made}
        unchanged += steady(project.resolve(), 2 * len(made))
        print(f"{project.name}: {len(made)} fixes {dict(Counter(fix.kind for fix in made))}", flush=True)
    return list(fixes.values()), unchanged


def steady(project: Path, count: int) -> list[Function]:
    """Functions that are as they were a third of the history ago."""
    commits = (run_git(project, "log", "--format=%H", "HEAD", "--", "*.py") or b"").decode().split()
    if not commits:
        return []
    then = commits[len(commits) // 3]
    names = (run_git(project, "ls-tree", "-r", "--name-only", "HEAD") or b"").decode("utf-8", "replace").split("\n")
    files = sorted(name for name in names if name.endswith(".py") and not is_test(name))
    random.Random(0).shuffle(files)
    found: list[Function] = []
    for name in files:
        before, after = (
            functions_in(
                (run_git(project, "cat-file", "blob", f"{commit}:{name}") or b"").decode("utf-8", "replace"), name
            )
            for commit in (then, "HEAD")
        )
        same = {function.text for function in before}
        kept = [each for each in after if each.text in same]
        found += [each for each in kept if read_example(each, max_tokens=MOST_TOKENS) is not None][:3]
        if len(found) >= count:
            break
    return found[:count]


def answer(detector: BugDetector, example: Example) -> tuple[int, float]:
    """The rewrite that is suspected most, and how much more speaks for it than for none."""
    row = detector.logits([example])[0]
    guess = int(row[1:].argmax())
    return guess, float(row[1 + guess] - row[0])


def game(arguments: argparse.Namespace) -> None:
    """Trainings of as many steps by random bugs and by chosen ones, judged where 5 % of clean functions are flagged."""
    training, test = read(arguments.train), read(arguments.test)
    bugs, clean = inject(test, each=arguments.each)
    print(f"{len(bugs)} bugs, {len(clean)} functions as they are, {len(training)} to learn from", flush=True)
    print("| bugs of training | seed | first guess repaired | repaired | flagged | processor seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    means: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(arguments.seeds):
        for chosen in (False, True):
            config = DetectorTrainingConfig.parse(
                apply_overrides(
                    {"game": chosen, "seed": seed, "epochs": 1, "time_limit": None}, arguments.set
                ),
                who="settings of the training",
            )  # fmt: skip
            start = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                detector = train_detector(training, folder=Path(folder) / "run", config=config).detector
            seconds = time.process_time() - start
            first, repaired, flagged = at_few_alarms(detector, bugs, clean)
            means[chosen].append(repaired)
            name = "the game" if chosen else "random"
            print(f"| {name} | {seed} | {first:.1%} | {repaired:.1%} | {flagged:.1%} | {seconds:.0f} |", flush=True)
    random_mean, game_mean = (float(np.mean(means[chosen])) for chosen in (False, True))
    print(f"mean repaired: random {random_mean:.1%}, the game {game_mean:.1%}, {game_mean / random_mean - 1:+.1%}")


def at_few_alarms(detector: BugDetector, bugs: Sequence[Bug], clean: Sequence[Example]) -> tuple[float, float, float]:
    """Shares of bugs that the first guess repairs, and that it repairs with a score above those of all but 5 % of one
    half of the clean functions; and of the other half, how many are above it."""
    answers = [answer(detector, example) for _, example, _, _ in bugs]
    right = np.array([guess == repair for (guess, _), (*_, repair) in zip(answers, bugs, strict=True)])
    scores = np.array([answer(detector, example)[1] for example in clean])
    threshold = float(np.quantile(scores[::2], 1 - FALSE_ALARMS))
    told = np.array([score for _, score in answers]) > threshold
    return float(right.mean()), float((right & told).mean()), float((scores[1::2] > threshold).mean())


if __name__ == "__main__":
    main()
