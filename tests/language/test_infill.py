import tokenizers

from tonggan.language.infill import InfillTokens
from tonggan.language.tokenizer import Tokenizer

PLAIN = Tokenizer.train(["the cat sat on the mat"], vocab_size=290)


def vocabulary(*names):
    library = tokenizers.Tokenizer.from_str(PLAIN.state()["tokenizer"])
    library.add_special_tokens(list(names))
    return Tokenizer(library, start=1, ends=(2,))


def test_known_names_are_found():
    for form in ("<|fim_{}|>", "<fim_{}>"):
        own = vocabulary(*(form.format(name) for name in ("prefix", "suffix", "middle")))
        first = PLAIN.size
        assert InfillTokens.of(own) == InfillTokens(first, first + 1, first + 2)


def test_names_of_other_control_tokens_may_be_given():
    own = vocabulary("<a>", "<b>", "<c>")
    assert InfillTokens.of(own) is None
    assert InfillTokens.of(own, names=("<b>", "<a>", "<c>")) == InfillTokens(PLAIN.size + 1, PLAIN.size, PLAIN.size + 2)


def test_plain_words_are_no_control_tokens():
    assert InfillTokens.of(PLAIN) is None
    assert InfillTokens.of(vocabulary("<fim_prefix>", "<fim_suffix>")) is None


def test_orders():
    tokens = InfillTokens(7, 8, 9)
    assert tokens.psm([1, 2], [3]) == [7, 1, 2, 8, 3, 9]
    assert tokens.spm([1, 2], [3]) == [7, 8, 3, 9, 1, 2]
    assert tokens.spm([1, 2, 4], [3])[:6] == tokens.spm([1, 2], [3])
