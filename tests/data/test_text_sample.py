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
        (["1;2", "2", "1;2;3", "3", "2;1", "3;2"], ";"),
        (["衬衫、裤子", "裤子", "鞋、衬衫", "鞋", "裤子、鞋"], "、"),
        (["rock/pop", "pop", "jazz/rock", "jazz", "pop/jazz"], "/"),
        (["a,b,", "b,", "a,c,b,", "c,", "a,b,c,", "b,c,"], ","),
        (["R&B/Soul", "Rock", "Hip-Hop/Rap", "R&B/Soul", "Rock", "Hip-Hop/Rap"], None),
        (["A+", "A", "B+", "B", "A+", "B"], None),
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


LONG = "def first(values):\n" + "".join(
    f"    x{number} = values[{number}] + (1 if values else 0)\n" for number in range(60)
)


@pytest.mark.parametrize(
    ("values", "is_python"),
    [
        (["import os\nprint(os.name)", "def f(x):\n    return x"], True),
        (["    x = 1\n    y = x", "class A:\n    pass"], True),
        ([LONG[:1000], "for x in y:\n    print(x)"], True),  # as a sample is cut
        (["import os\nprint(os.name)"] * 9 + ["def f(x:\n    return x"], True),
        (["x = 1", "print(2)"], False),  # of one line each: too little to say so
        (["a\nb", "1\n2"], False),
        (["Dear all,\nthe shoes are fine.", "not good\nat all"], False),
        (["你好\n世界", "很好\n再见"], False),
        (["import os\nprint(os.name)", "Dear all,\nthe shoes are fine."], False),
        (["int main() {\n  return 0;\n}", "let x = 1;\nlet y = x;"], False),
        (["\x00\n\x00", "x = 1\ny = 2"], False),
    ],
)
def test_python(values, is_python):
    assert TextSample(values).is_python == is_python
