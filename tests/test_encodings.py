import pytest

from tonggan.encodings import guess_encoding, guess_utf_16, known_encoding


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "股市今日大涨，国足再次失利"),
        ("gb18030", "张伟,李娜"),
        ("cp950", "這是一個繁體中文的文件"),
        ("cp932", "これは日本語のテキストです"),
        ("cp932", "東京都,大阪府,田中太郎"),
        ("gb18030", "苹果,香蕉,苹果"),
        ("gb18030", "城市,北京,广州,大连,北京"),
        ("cp949", "안녕하세요 서울특별시"),
        ("cp949", "사과,배,바나나"),
        ("cp1252", "Müller;Straße;12 €"),
        ("cp1252", "déjà vu à l’été, cœur"),
        ("utf-16-le", "a,b\n股市,中国\n"),
    ],
)
def test_characters_show_the_encoding(encoding, text):
    guess = guess_encoding(text.encode(encoding))
    assert guess is not None
    assert (guess.name, guess.is_sure) == (encoding, True)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1251", "Привет мир"), ("koi8-r", "Привет мир"), ("cp1250", "Łódź,żółć"), ("gb18030", "安徽,北京")],
)
def test_that_bytes_decode_is_no_evidence(encoding, text):
    guess = guess_encoding(text.encode(encoding))
    assert guess is None or not guess.is_sure


def test_a_character_that_is_cut_off_at_the_end():
    guess = guess_encoding("股市今日大涨，国足再次失利".encode("gb18030")[:-1])
    assert guess is not None
    assert guess.name == "gb18030"


def test_binary_content_is_no_utf_16():
    assert guess_utf_16(b"\x7fELF\0\0\1") is None
    assert guess_utf_16(b"\1\0\2\0\3\0\4\0") is None
    assert guess_utf_16(b"plain") is None


def test_names_of_encodings():
    assert known_encoding("GBK") == "gbk"
    assert known_encoding("latin-1") == "iso8859-1"
    for name in ("rot13", "base64", "idna", "punycode", "nonsense"):
        assert known_encoding(name) is None
