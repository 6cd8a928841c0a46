import pytest

from tonggan.codelm.review.learned.tokens import lex, words_of


def test_tokens_know_where_they_stand_also_behind_a_form_feed():
    text = "a = 1\n\x0c\ndef f(é):  # nothing\n    return é\n"
    found = lex(text)
    assert [token.text for token in found] == [
        "a", "=", "1", "<newline>", "def", "f", "(", "é", ")", ":", "<newline>", "<indent>", "return", "é", "<newline>",
        "<dedent>",
    ]  # fmt: skip
    for token in found:
        if not token.text.startswith("<"):
            assert text[token.start : token.end] == token.text


def test_what_is_cut_off_is_refused():
    with pytest.raises(SyntaxError):
        lex("f(a,\n")


def test_names_are_read_as_their_parts():
    assert words_of("readHTTPHeader_2") == ("read", "http", "header", "2")
    assert words_of("'Two words'") == ("<text>", "'", "two", "words", "'")
    assert words_of("return") == ("return",)
