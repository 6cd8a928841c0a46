"""N-gram speculation against plain greedy decoding, on code and on prose: the same text, in how much less time?

SmolLM2-135M-Instruct writes on; both ways take turns on one model in one process, and their tokens are compared. Code
is files of this repository to continue and functions to change; prose is questions whose answers repeat little.
Run: python benchmarks/lookup.py [--engine torch]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from tonggan.language.chat import Message
from tonggan.language.model import LanguageModel
from tonggan.language.opening import open_model
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig

SOURCE = Path(__file__).parents[1] / "src" / "tonggan"
CONTINUED = ("tokens.py", "progress.py", "files.py", "fusion/film.py", "layers/positions.py", "encoders/image_cnn.py")
CHANGED = ("config.py", "layers/mlp.py", "fusion/concat.py", "modalities/multilabel.py")
QUESTIONS = (
    "Tell me a story about a lighthouse keeper who finds a letter.",
    "Explain how bread is made, from the field to the oven.",
    "What should a visitor see in three days in Beijing?",
    "Why is the sky blue, and why are sunsets red?",
    "Write a letter to a friend about your first week in a new town.",
    "How did the printing press change Europe?",
)


def prompts(model: LanguageModel) -> dict[str, list[Prompt]]:
    def lines(name: str, count: int) -> str:
        return "\n".join((SOURCE / name).read_text(encoding="utf-8").splitlines()[:count])

    def ask(text: str) -> Prompt:
        return model.prompt([Message("user", text)])

    return {
        "code, continued": [model.prompt(lines(name, 60)) for name in CONTINUED],
        "code, changed": [
            ask(f"Write this code again with a comment above every line:\n\n{lines(name, 40)}") for name in CHANGED
        ],
        "prose": [ask(question) for question in QUESTIONS],
    }


def write(model: LanguageModel, prompt: Prompt, settings: GenerationConfig) -> tuple[list[int], int, float]:
    """Token ids, steps, and seconds from the first token to the last: the prompt's time is the same both ways."""
    fresh = LanguageModel(model.engine, model.tokenizer, name=model.name)  # which has read nothing yet
    stream = fresh.stream(prompt, settings)
    ids = next(stream).token_ids
    start = time.perf_counter()
    steps = 0
    for piece in stream:
        ids += piece.token_ids
        steps += 1
    return ids, steps, time.perf_counter() - start


def measure(model: LanguageModel, texts: list[Prompt], *, lookup: int, max_tokens: int, repeats: int) -> str:
    """Medians of ``repeats`` interleaved runs, summed over the texts."""
    plain = GenerationConfig(max_tokens=max_tokens)
    ways = (plain, plain.model_copy(update={"lookup": lookup}))
    num_tokens, num_steps = 0, 0
    seconds, gains = [0.0, 0.0], []
    for prompt in texts:
        runs = [[write(model, prompt, settings) for settings in ways] for _ in range(repeats)]
        assert len({tuple(ids) for run in runs for ids, _, _ in run}) == 1, "speculation changed the text"
        medians = [statistics.median(run[way][2] for run in runs) for way in range(2)]
        seconds = [total + median for total, median in zip(seconds, medians, strict=True)]
        gains.append(medians[0] / medians[1])
        num_tokens += len(runs[0][1][0]) - 1
        num_steps += runs[0][1][1]
    return (
        f"{num_tokens / seconds[0]:.1f} to {num_tokens / seconds[1]:.1f} tokens/s, {seconds[0] / seconds[1]:.2f}x "
        f"(single texts {min(gains):.2f}x to {max(gains):.2f}x), {num_tokens / num_steps:.2f} tokens a step, same text"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=("native", "torch"), default="native")
    parser.add_argument("--lookup", type=int, default=10, help="longest draft")
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    model = open_model("smollm2", engine=options.engine)
    assert isinstance(model, LanguageModel)
    for kind, texts in prompts(model).items():
        told = measure(model, texts, lookup=options.lookup, max_tokens=options.max_tokens, repeats=options.repeats)
        print(f"{kind}: {told}", flush=True)


if __name__ == "__main__":
    main()
