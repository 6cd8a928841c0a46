"""Which voice speaks which names: what is asked for is spoken by one that nobody has learned from."""

from pathlib import Path

from public_sets import rows_of
from tonggan.data.public import emoji_speech
from tonggan.data.public.writing import write_csv
from tonggan.progress import Progress


def test_the_voice_of_the_test_is_in_no_other_part(tmp_path, monkeypatch):
    emojis = {"train": ["heart", "cat"], "valid": ["sun"], "test": ["moon"]}
    spoken = []

    def silent(files, folder, progress):
        del files, progress
        return {
            split: write_csv(
                folder / f"{split}.csv",
                ({"drawing": f"drawings/{name}.png", "english": name, "chinese": f"{name} zh"} for name in names),
                columns=("drawing", "english", "chinese"),
            )
            for split, names in emojis.items()
        }

    monkeypatch.setattr(emoji_speech.emoji_space, "prepare", silent)
    monkeypatch.setattr(emoji_speech, "speak", spoken.extend)
    tables = emoji_speech.prepare({}, tmp_path, Progress())
    rows = {split: rows_of(path) for split, path in tables.items()}
    assert {split: len(part) for split, part in rows.items()} == {"train": 4, "valid": 1, "test": 1}
    voices = {
        split: {Path(row[f"spoken_{language}"]).parent.name for row in part for language in ("english", "chinese")}
        for split, part in rows.items()
    }
    assert voices["train"] == {"m3", "f2"}
    assert voices["valid"] == voices["test"] == {"f4"}
    assert {(each.voice, each.text) for each in spoken} >= {("en-us+m3", "heart"), ("cmn+f2", "cat zh")}
    assert {each.path for each in spoken} == {
        str(tmp_path / row[f"spoken_{language}"])
        for part in rows.values()
        for row in part
        for language in ("english", "chinese")
    }
