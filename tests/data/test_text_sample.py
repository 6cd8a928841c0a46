import pytest

from tonggan.data.text_sample import TextSample


def sample(*values):
    return TextSample(values)


@pytest.mark.parametrize(
    ("values", "separator"),
    [
        (["a|b", "b", "a|c|b", "c", "a|b|c", "b|c"], "|"),
        (["red, big", "big", "red, old, big", "old", "red", "big, old"], ","),
        (["体育;娱乐", "娱乐", "体育", "财经;体育;娱乐", "财经", "财经;娱乐"], ";"),
        (["London, UK", "Paris, France", "London, UK", "Paris, France"], None),
        (["Braund, Mr. Owen", "Smith, Miss. Anna", "Heikkinen, Laina", "Allen, James, Sir"], None),
        (["Clothing, Shoes & Jewelry", "Toys", "Home, Garden & Tools", "Toys", "Sports", "Home, Garden & Tools"], None),
        (["Shoes, Men", "Shoes, Women", "Shoes, Men", "Bags", "Bags, Women", "Bags", "Shoes, Women"] * 3, None),
        (["Austin, TX", "Paris, TX", "Boston, MA", "Springfield, MA", "Paris, TX", "Boston, MA", "Honolulu"] * 3, None),
        (["1,2", "2", "1,2,3", "3", "1", "2,3"], None),
        (["a", "b", "a", "b"], None),
        (["is it red, or blue, or a shape that is neither of the two?", "no, it is not"], None),
    ],
)
def test_tags(values, separator):
    assert sample(*values).tag_separator == separator


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("what is the color of the shape?", "English"),
        ("60年铁树开花形状似玉米芯(组图)", "Chinese"),
        ("Der Hund läuft durch den Wald", "German"),
        ("Это собака", "Cyrillic"),
        ("12:30", "no letters"),
    ],
)
def test_languages(text, language):
    assert sample(text).language == language


def test_words():
    assert sample("two words", "one more here okay").mean_words == 3
    assert sample("股市今日大涨").mean_words == 3
