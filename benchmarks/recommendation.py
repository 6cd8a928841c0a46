"""MovieLens-100K: each member and the blend, on the cut in time and on the last like of each user; EASE's time.

Settings are chosen on the validation part; the test part is looked at once. Run, with the package of the data:

    pip install --no-deps recbole==1.2.1
    python benchmarks/recommendation.py

``--published`` also fits the EASE of RecBole, which must be importable then, on the same interactions.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

import tonggan
from tonggan.data.catalogue import find_set
from tonggan.data.places import cache_folder
from tonggan.data.readers import open_table
from tonggan.progress import Progress
from tonggan.recommendation.blend import measured
from tonggan.recommendation.config import InteractionColumns, SplitConfig
from tonggan.recommendation.ease import item_weights
from tonggan.recommendation.interactions import read_interactions
from tonggan.recommendation.popularity import PopularityConfig
from tonggan.recommendation.splits import TEST, split_interactions

PENALTY = 200.0
TIMES = 3


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", nargs="*", default=["time", "leave_last"])
    parser.add_argument("--threshold", type=float, default=0.0, help="ratings from here on are likes; 0: all are")
    parser.add_argument("--published", action="store_true")
    given = parser.parse_args()
    tables = find_set("movielens_100k").get(cache=cache_folder(), progress=Progress())
    compare_ease(tables["interactions"], published=given.published)
    for split in given.split:
        with TemporaryDirectory() as folder:
            recommender = tonggan.fit_recommender(
                tables["interactions"],
                items=tables["items"],
                users=tables["users"],
                out=Path(folder) / "run",
                settings={"split.kind": split, "threshold": given.threshold},
            )
        show(recommender.results, split)


def show(results: Any, split: str) -> None:
    """Markdown of what was measured."""
    test, k = results["test"], results["k"]
    print(f"\nSplit {split}, {results['seconds']:.0f} s; {results['likes']:,} likes; kept:")
    for each in results["members"]:
        if each["weight"] or each["cold_weight"]:
            weights = f"weight {each['weight']:.2f}, {each['cold_weight']:.2f} among items with few likes"
            print(f"  {each['name']}: valid {each['score']:.4f}, {weights}, {each['settings']}")
    for part in ("warm", "cold"):
        users = test["users"] if part == "warm" else test["cold_users"]
        print(f"\n| {part}, {users} users | nDCG@{k} | 95 % | recall@{k} | hit@{k} | MRR | coverage | bias |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for name, found in test[part].items():
            metrics, (low, high) = found["metrics"], found["intervals"]["ndcg"]
            cells = [f"{metrics['ndcg']:.4f}", f"{low:.3f} – {high:.3f}"]
            cells += [f"{metrics[name]:.4f}" for name in ("recall", "hit_rate", "mrr", "coverage")]
            print(f"| {name} | " + " | ".join([*cells, f"{metrics.get('popularity_bias', np.nan):.2f}"]) + " |")
    sys.stdout.flush()


def compare_ease(path: Path, *, published: bool) -> None:
    """Popularity of all time; seconds of the closed form, and how far the weights are from those of RecBole's."""
    read = read_interactions(open_table(path, cache=cache_folder()), InteractionColumns(), threshold=0)
    split, _ = split_interactions(read.interactions, SplitConfig(), seed=0)
    examples, held = split.examples(TEST), split.held(TEST, seed=0)
    popular = PopularityConfig().fit(examples, seed=0, seconds=np.inf)
    found = measured(popular.score, held, k=10, popularity=examples.histories.counts())
    print(f"Popularity of all time, cut in time: nDCG@10 {found.score():.4f} of {len(found)} users")
    matrix = examples.histories.matrix()
    ours, weights = best(lambda: item_weights((matrix.T @ matrix).toarray(), PENALTY))
    print(f"EASE of {matrix.shape[1]:,} items: {ours:.2f} s")
    if published:
        from recbole.model.general_recommender.ease import EASE

        names = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "NEG_PREFIX": "neg", "reg_weight": PENALTY}
        config = type("Config", (dict,), {"device": "cpu"})(device="cpu", **names)
        sizes = dict(zip(("user", "item"), matrix.shape, strict=True))
        data = SimpleNamespace(num=sizes.__getitem__, inter_matrix=lambda form: matrix.asformat(form))
        theirs, model = best(lambda: EASE(config, data))
        apart = np.abs(np.asarray(model.item_similarity) - weights).max()
        print(
            f"RecBole's EASE: {theirs:.2f} s; the weights differ by {apart:.1e} at most, of {np.abs(weights).max():.2f}"
        )
    sys.stdout.flush()


def best(make: Any) -> tuple[float, Any]:
    """The shortest of some times, and what was made."""
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        made = make()
        times.append(time.perf_counter() - started)
    return min(times), made


if __name__ == "__main__":
    main()
