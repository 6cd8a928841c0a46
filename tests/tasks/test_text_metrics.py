"""Metrics of texts: the numbers of the reference packages, also of a corpus drawn again."""

import math
import string
import sys

import numpy as np
import pytest

from contracts import check_measure
from tonggan.errors import MissingExtraError
from tonggan.tasks.text_metrics import LOWER_IS_BETTER, TextMeasure, detect_language

ENGLISH = [
    ("The cat sat on the mat.", "A cat sat on a mat."),
    ("two dogs   run in the park", "Two dogs are running in a park"),
    ("", "nothing was said here"),
    ("It's 3.5 miles, isn't it?", "It's 3.5 miles, isn't it?"),
    ("a man rides a horse on the beach at night", "a man rides a brown horse on a beach"),
    ("café au lait", "a café au lait"),
    ("the the the the", "the cat"),
    ("a red bus , parked", "a red bus parked near the two dogs in the park"),
]
CHINESE = [
    ("我喜欢红色的苹果。", "我喜欢吃红苹果。"),
    ("他昨天去了北京", "他昨天去北京了。"),
    ("GPT 模型有 135 个", "GPT模型有135个"),
    ("", "没有人回答"),
    ("今天天气很好", "今天天气很好"),
]


def columns(pairs):
    return [said for said, _ in pairs], [wanted for _, wanted in pairs]


def drawn(pairs, *, seed=0):
    """A corpus of rows drawn with replacement, and how often each was."""
    rows = np.random.default_rng(seed).integers(len(pairs), size=len(pairs))
    return [pairs[row] for row in rows], np.bincount(rows, minlength=len(pairs)).astype(np.float64)


def measured(pairs, *, losses=(float("nan"), 0.0), **options):
    """Texts of which the model was not asked how likely they are, unless ``losses`` say so of each."""
    written, truth = (np.array(texts, dtype=object) for texts in columns(pairs))
    rows = {"written": written, "truth": truth, "losses": np.broadcast_to(np.array(losses), (len(pairs), 2))}
    return TextMeasure(rows, "chrf", True, **options)


def compute(pairs, name, *, counts=None, **options):
    return measured(pairs, **options).metrics(counts, names=[name])[name]


def reference_bleu(pairs, tokenize="13a"):
    import sacrebleu

    said, wanted = columns(pairs)
    return sacrebleu.corpus_bleu(said, [wanted], tokenize=tokenize).score


def reference_chrf(pairs):
    import sacrebleu

    said, wanted = columns(pairs)
    return sacrebleu.corpus_chrf(said, [wanted]).score


def reference_wer(pairs):
    import jiwer

    said, wanted = columns(pairs)
    return jiwer.wer(wanted, said)


def reference_cer(pairs):
    import jiwer

    said, wanted = columns([tuple(" ".join(text.split()) for text in pair) for pair in pairs])
    return jiwer.cer(wanted, said)


def reference_rouge_l(pairs):
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return float(np.mean([scorer.score(wanted, said)["rougeL"].fmeasure for said, wanted in pairs]))


REFERENCES = {
    "bleu": reference_bleu,
    "chrf": reference_chrf,
    "wer": reference_wer,
    "cer": reference_cer,
    "rouge_l": reference_rouge_l,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_equal_to_the_reference_package(name):
    assert compute(ENGLISH, name) == pytest.approx(REFERENCES[name](ENGLISH), abs=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("seed", range(5))
def test_rows_drawn_again_give_the_reference_of_the_drawn_corpus(name, seed):
    again, counts = drawn(ENGLISH, seed=seed)
    assert compute(ENGLISH, name, counts=counts) == pytest.approx(REFERENCES[name](again), abs=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_random_words_give_the_numbers_of_the_reference_package(name):
    generator = np.random.default_rng(1)

    def text():
        return " ".join(generator.choice(list("abcdefg"), size=generator.integers(1, 80)))

    pairs = [(text(), text()) for _ in range(40)]
    assert compute(pairs, name) == pytest.approx(REFERENCES[name](pairs), abs=1e-12)


@pytest.mark.parametrize("pairs", [ENGLISH, CHINESE])
def test_cider_is_that_of_its_authors(pairs):
    from pycocoevalcap.cider.cider import Cider

    def cut(text):
        # Words without case and punctuation, Chinese characters apart, written independently of the code under test.
        for mark in string.punctuation + "。，":
            text = text.replace(mark, " ")
        return "".join(f" {letter} " if letter >= "\u4e00" else letter for letter in text.lower())

    said, wanted = columns(pairs)
    score, _ = Cider().compute_score(
        {row: [cut(text)] for row, text in enumerate(wanted)}, {row: [cut(text)] for row, text in enumerate(said)}
    )
    assert compute(pairs, "cider") == pytest.approx(score, abs=1e-9)
    assert 0.5 < score < 10


def test_cider_keeps_the_weights_of_the_corpus_when_rows_are_drawn_again():
    alone = [compute(ENGLISH, "cider", counts=np.eye(len(ENGLISH))[row]) for row in range(len(ENGLISH))]
    _, counts = drawn(ENGLISH)
    assert compute(ENGLISH, "cider", counts=counts) == pytest.approx(counts @ alone / counts.sum())


def test_cider_of_a_single_row_is_zero():
    assert compute([("a cat", "a cat")], "cider") == 0


def test_chinese_is_scored_by_characters():
    from rouge_score.rouge_scorer import RougeScorer

    class Characters:
        def tokenize(self, text):
            return [character for character in text if character >= "\u4e00" and character not in "。，"]

    pure = [pair for pair in CHINESE if not any("0" <= letter <= "z" for letter in "".join(pair))]
    result = measured(pure).metrics()
    assert result["bleu"] == pytest.approx(reference_bleu(pure, "zh"), abs=1e-12)
    assert result["chrf"] == pytest.approx(reference_chrf(pure), abs=1e-12)
    assert result["cer"] == pytest.approx(reference_cer(pure), abs=1e-12)
    scorer = RougeScorer(["rougeL"], tokenizer=Characters())
    expected = np.mean([scorer.score(wanted, said)["rougeL"].fmeasure for said, wanted in pure])
    assert result["rouge_l"] == pytest.approx(expected)
    # 7 of 8 and 7 characters, 7 of 7 and 7, none of 0 and 5, 6 of 6 and 6.
    assert result["token_f1"] == pytest.approx((12 / 15 + 1 + 0 + 1) / 4)


def test_latin_words_within_chinese_stay_whole():
    assert compute([CHINESE[2]], "token_f1") == 1
    assert compute([CHINESE[2]], "rouge_l") == 1


def test_language_is_that_of_the_references():
    assert detect_language(columns(CHINESE)[1]) == "zh"
    assert detect_language(columns(ENGLISH)[1]) == "en"
    assert detect_language(["", " "]) == "en"
    assert detect_language(["苹果 apple"]) == "en", "2 of 7 characters"
    assert detect_language(["苹果树 apple"]) == "zh", "3 of 8 characters"
    assert compute(CHINESE, "bleu", language="en") == pytest.approx(reference_bleu(CHINESE), abs=1e-12)


@pytest.mark.parametrize(
    ("said", "wanted", "expected"),
    [("A  Cat ", "a cat", 1), ("STRASSE", "straße", 1), ("a cat.", "a cat", 0), ("", " ", 1), ("", "a", 0)],
)
def test_exact_match_reads_past_case_and_white_space_only(said, wanted, expected):
    assert compute([(said, wanted)], "exact_match") == expected


@pytest.mark.parametrize(
    ("said", "wanted", "expected"),
    [
        ("The red, red bus!", "a red bus", 4 / 5),  # 2 of 3 and 2 words
        ("it's", "its", 1),
        ("the", "a", 1),  # both empty without articles
        ("", "bus", 0),
        ("bus", "", 0),
        ("one two", "two three four", 2 / 5),
    ],
)
def test_token_f1_is_that_of_squad(said, wanted, expected):
    assert compute([(said, wanted)], "token_f1") == pytest.approx(expected)


def test_empty_references_count_as_jiwer_counts_them():
    pairs = [("two words", ""), ("one", "one two")]
    assert compute(pairs, "wer") == reference_wer(pairs) == 1.5
    assert compute(pairs[:1], "wer") == reference_wer(pairs[:1]) == 2
    assert compute([("", "")], "cer") == 0


def test_all_metrics_of_empty_texts_are_numbers():
    for pairs in ([("", "")], [("", "a")], [("a", "")]):
        metrics = measured(pairs).metrics()
        assert set(metrics) == {"exact_match", "token_f1", "bleu", "chrf", "rouge_l", "cider", "wer", "cer"}


def test_signatures_are_those_of_sacrebleu():
    signatures = measured(CHINESE).signatures()
    assert set(signatures) == {"bleu", "chrf"}
    assert signatures["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:")
    assert signatures["chrf"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


def test_which_metrics_are_better_when_lower():
    perfect = measured([(text, text) for text in ("one two three four", "five")], losses=(0.0, 1.0)).metrics()
    assert perfect["perplexity"] == 1
    assert {name for name, value in perfect.items() if value == 0} | {"perplexity"} == LOWER_IS_BETTER


def test_perplexity_by_hand():
    measure = measured([("a", "b"), ("c", "d")], losses=[[2.0, 2.0], [4.0, 1.0]])
    assert measure.metrics()["perplexity"] == pytest.approx(math.exp(6 / 3))
    assert measure.metrics(np.array([2.0, 0.0]))["perplexity"] == pytest.approx(math.exp(1))
    assert "perplexity" not in measured([("a", "b")]).metrics(), "without the model's probabilities there is none"


def test_the_worst_texts_are_wrong_and_unexpected():
    pairs = [("a", "b"), ("Same", "same"), ("c", "d"), ("e", "f")]
    measure = measured(pairs, losses=[[2.0, 2.0], [90.0, 1.0], [8.0, 2.0], [3.0, 1.0]])
    assert measure.worst(10).tolist() == [2, 3, 0]
    assert measure.differs(measured([*pairs[:3], ("g", "f")])).tolist() == [False, False, False, True]


def test_contract_of_measures():
    losses = np.linspace(1, 20, 2 * len(ENGLISH)).reshape(-1, 2)
    parts = [measured([pair], losses=losses[row : row + 1]) for row, pair in enumerate(ENGLISH)]
    check_measure(measured(ENGLISH, losses=losses), parts, of_all_rows=["cider"])


def test_without_sacrebleu_the_install_line_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[language\]'"):
        compute(ENGLISH, "bleu")
    assert compute(ENGLISH, "wer") > 0
