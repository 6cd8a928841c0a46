"""Texts: both languages survive the tokenizer, absence, length, and saving."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import decoders

from contracts import check_config, check_modality
from tonggan.modalities import load_modality
from tonggan.modalities.text import MASK_ID, PAD_ID, Text, TextConfig

TEXTS = [
    "The cat sat on the mat.",
    "the dog sat on the log",
    None,
    "",
    "今天天气很好",
    "今天的天气不好",
    "a cat, a dog",
] * 3


def fitted(**settings: object) -> Text:
    text = TextConfig.parse(settings, who="test").build()
    text.fit(TEXTS)
    return text


def test_what_is_encoded_can_be_read_again() -> None:
    text = fitted(hidden_words=0)
    items = ["The CAT sat", "今天很好", "ﬁne １２３", "never seen: ünïcode 🦄"]
    arrays = text.collate(items)
    text.tokenizer.decoder = decoders.ByteLevel()
    rows = zip(arrays.values, arrays.mask, strict=True)
    read = [text.tokenizer.decode(ids[mask].tolist()).strip() for ids, mask in rows]
    assert read == ["the cat sat", "今天很好", "fine 123", "never seen: ünïcode 🦄"]


def test_frequent_words_become_single_tokens() -> None:
    text = fitted()
    arrays = text.collate(["cat", "the cat sat", "今天"])
    assert arrays.mask.sum(dim=1).tolist() == [1, 3, 1]
    assert 258 < text.num_tokens < 350


def test_absent_is_none_or_empty() -> None:
    arrays = fitted().collate([None, "", "  \n", float("nan"), "cat"])
    assert arrays.present.tolist() == [False, False, False, False, True]
    assert arrays.values.dtype == torch.int64
    assert (arrays.values[~arrays.mask] == PAD_ID).all()
    assert fitted().collate([None]).values.shape == (1, 1)


def test_length_is_limited_and_of_a_huge_text_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = fitted(max_tokens=10)
    encode, read = text._encode, []

    def encoded(texts: list[str]) -> list[list[int]]:
        read.extend(map(len, texts))
        return encode(texts)

    monkeypatch.setattr(text, "_encode", encoded)
    arrays = text.collate(["cat dog " * 1_250_000, " " * 10_000_000 + "cat", "cat"])
    assert 0 < max(read) < 10_000
    assert arrays.mask.sum(dim=1).tolist() == [10, 1, 1]


def test_special_tokens_in_a_text_are_plain_characters() -> None:
    arrays = fitted(hidden_words=0).collate(["<mask> <pad>"])
    assert MASK_ID not in arrays.values[0].tolist()
    assert PAD_ID not in arrays.values[0].tolist()


def test_case_can_be_kept() -> None:
    arrays = fitted(lowercase=False).collate(["The", "the"])
    assert not torch.equal(arrays.values[0], arrays.values[1])


def test_saved_and_loaded_through_json_is_equal() -> None:
    text = fitted()
    loaded = Text.load(text.config, json.loads(json.dumps(text.state())))
    items = ["the cat 今天 🦄 <mask>", None, "x " * 500]
    assert torch.equal(loaded.collate(items).values, text.collate(items).values)
    assert loaded.num_tokens == text.num_tokens


def test_the_same_texts_give_the_same_vocabulary() -> None:
    assert fitted().state() == fitted().state()


def test_fit_on_nothing_still_reads_everything() -> None:
    text = TextConfig().build()
    text.fit([None, ""])
    assert text.num_tokens == 258
    assert text.collate(["今"]).mask.sum() > 0


def test_word_dropout_masks_real_tokens_only() -> None:
    text = fitted(word_dropout=0.5, hidden_words=0)
    arrays = text.collate(["the cat sat on the mat " * 10, "cat", None])
    dropped = text.vary(arrays, torch.Generator().manual_seed(0))
    again = text.vary(arrays, torch.Generator().manual_seed(0))
    assert torch.equal(dropped.values, again.values)
    assert torch.equal(dropped.mask, arrays.mask)
    share = (dropped.values[0] == MASK_ID).float().mean()
    assert 0.3 < share < 0.7
    assert (dropped.values[~arrays.mask] == PAD_ID).all()
    plain = fitted(hidden_words=0)
    assert plain.vary(arrays, torch.Generator()) is arrays


@pytest.mark.parametrize("settings", [{}, {"word_dropout": 0.5}, {"hidden_words": 0}])
def test_contract(settings: dict[str, float]) -> None:
    check_modality(TextConfig(**settings).build(), "words", {"words": ["the cat sat", "on the mat " * 9, "今天", None]})


def test_config() -> None:
    check_config(TextConfig(vocab_size=500, word_dropout=0.1))


def test_tokens_that_training_never_had_are_masked() -> None:
    text = fitted()
    loaded = Text.load(text.config, json.loads(json.dumps(text.state())))
    for one in (text, loaded):
        arrays = one.collate(["Кошка 猫", "the cat sat", "the cat zzz"])
        assert (arrays.values[0][arrays.mask[0]] == MASK_ID).all()
        assert not (arrays.values[1] == MASK_ID).any()
        assert 0 < (arrays.values[2] == MASK_ID).sum() < arrays.mask[2].sum()
    # What training had is never masked, and a model that knows no <mask> reads every token.
    assert not (text.collate(TEXTS).values == MASK_ID).any()
    assert not (fitted(hidden_words=0).collate(["Кошка 猫"]).values == MASK_ID).any()
    old = Text.load(text.config, {"tokenizer": text.state()["tokenizer"]})
    assert not (old.collate(["Кошка 猫"]).values == MASK_ID).any()


def test_some_texts_lose_some_or_all_of_their_tokens() -> None:
    text = fitted(hidden_words=0.5)
    arrays = text.collate(["the cat sat on the mat"] * 4_000)
    hidden = text.vary(arrays, torch.Generator().manual_seed(0))
    share = (hidden.values == MASK_ID).float().mean(dim=1)
    assert abs((share == 1).float().mean().item() - 0.28) < 0.04
    assert abs((share == 0).float().mean().item() - 0.54) < 0.05
    # In half of these they are left out, as in a text that lacks them.
    left_out = arrays.mask & ~hidden.mask
    assert (hidden.values[left_out] == MASK_ID).all()
    assert abs(left_out.any(dim=1).float().mean().item() - 0.23) < 0.03


def test_rows_lose_words_as_texts_that_lack_them() -> None:
    text = fitted()
    arrays = text.collate(["the cat sat on the mat"] * 4_000)
    rows = torch.arange(4_000) < 2_000
    hidden = text.hide(arrays, rows, torch.Generator().manual_seed(0))
    assert torch.equal(hidden.values, arrays.values)
    assert torch.equal(hidden.mask[2_000:], arrays.mask[2_000:])
    assert abs(hidden.mask[:2_000].float().mean().item() / arrays.mask.float().mean().item() - 0.5) < 0.03
    plain = fitted(hidden_words=0)
    assert plain.hide(arrays, rows, torch.Generator()) is arrays


def test_words_of_english_and_chinese():
    text = Text(TextConfig(units="words", min_frequency=1))
    text.fit(["The cat's hat, the cat", "我喜欢 Ｃａｔ 电影"])
    assert text.vocabulary[:2] == ["cat", "the"]
    assert {"我", "喜欢", "电影", "'", ",", "hat"} <= set(text.vocabulary)
    arrays = text.collate(["THE dog", "电影!", " ", None])
    known = 2 + text.vocabulary.index("the")
    assert arrays.values[0].tolist() == [known, 1]  # an unknown word is <mask>
    assert arrays.mask.sum(dim=1).tolist() == [2, 2, 0, 0]
    again = load_modality(text.config, json.loads(json.dumps(text.state())))
    assert torch.equal(again.collate(["THE dog", "电影!"]).values, arrays.values[:2])


def test_the_most_frequent_words_up_to_the_size():
    text = Text(TextConfig(units="words", vocab_size=300, min_frequency=2))
    text.fit([" ".join(f"w{number}" for number in range(400))] * 2 + ["w7 rare"])
    assert text.num_tokens == 300
    assert text.vocabulary[0] == "w7"
    assert "rare" not in text.vocabulary


def test_words_of_a_pretrained_vocabulary_are_refused():
    with pytest.raises(ValueError, match="not one of words"):
        TextConfig(units="words", weights="e5")
