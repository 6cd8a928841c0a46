from pathlib import Path

from public_sets import needs_mirror, parts_of


@needs_mirror
def test_both_directions_and_no_sentence_in_two_parts(tmp_path: Path) -> None:
    parts = parts_of("zh_en", tmp_path)
    pairs = parts_of("tatoeba_zh_en", tmp_path)
    sentences = []
    for split, rows in parts.items():
        there = {(row["source"], row["target"]) for row in rows if row["to"] == "zh"}
        back = {(row["target"], row["source"]) for row in rows if row["to"] == "en"}
        assert there == back
        assert there <= {(pair["english"], pair["chinese"]) for pair in pairs[split]}
        assert len(rows) > 0.96 * 2 * len(pairs[split])
        sentences.append({row["source"] for row in rows})
    assert len(set.union(*sentences)) == sum(map(len, sentences))
    assert len(parts["test"]) == 2 * len(pairs["test"])
