from collections import Counter, defaultdict
from pathlib import Path

import soundfile

from public_sets import get, needs_mirror, parts_of


@needs_mirror
def test_no_actor_is_in_two_parts_and_every_sentence_has_every_emotion(cache_of_sets: Path) -> None:
    parts = parts_of("emotion_in_speech", cache_of_sets)
    assert {split: len(rows) for split, rows in parts.items()} == {"train": 408, "test": 127}
    speakers = {split: {row["speaker"] for row in rows} for split, rows in parts.items()}
    assert (len(speakers["train"]), speakers["test"]) == (8, {"15", "16"})
    rows = parts["train"] + parts["test"]
    # As the set's authors counted them.
    assert Counter(row["emotion"] for row in rows) == {
        "anger": 127, "boredom": 81, "neutral": 79, "happiness": 71, "fear": 69, "sadness": 62, "disgust": 46,
    }  # fmt: skip
    emotions = defaultdict(set)
    for row in rows:
        emotions[row["sentence"]].add(row["emotion"])
    assert len(emotions) == 10
    assert all(len(found) == 7 for found in emotions.values())
    folder = get("emotion_in_speech", cache_of_sets)["test"].parent
    seconds = [soundfile.info(folder / row["recording"]).duration for row in parts["test"]]
    assert set(seconds) == {2.0}
