import pytest

from tonggan.data.languages import language_of, languages_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The parcel was late and the box is broken.", "English"),
        ("Das Paket war zu spät und der Karton ist kaputt.", "German"),
        ("Le colis est arrivé en retard et la boîte est cassée.", "French"),
        ("El paquete llegó tarde y la caja está rota.", "Spanish"),
        ("快递来得太晚了，盒子也坏了。", "Chinese"),
        ("iPhone 15 屏幕坏了，怎么办", "Chinese"),
        ("荷物が遅れて、箱が壊れています。", "Japanese"),
        ("소포가 늦었고 상자가 망가졌어요.", "Korean"),
        ("Посылка опоздала, коробка сломана.", "Cyrillic"),
        ("trail shoe 41", "Latin letters"),
        ("de Jong", "Latin letters"),
        ("12-04 / 7", "no letters"),
        ("", "no letters"),
    ],
)
def test_languages(text, language):
    assert language_of(text) == language


ENGLISH, CHINESE, SHORT = "The parcel was late and the box is broken.", "快递来得太晚了", "late"


@pytest.mark.parametrize(
    ("texts", "languages"),
    [
        ([ENGLISH] * 2 + [SHORT] * 8, "English"),
        ([SHORT] * 20, "Latin letters"),
        ([CHINESE] * 6 + [ENGLISH] * 4, "Chinese, English"),
        ([CHINESE] * 9 + [ENGLISH, "12:30"], "Chinese"),
        (["12:30"], "no letters"),
    ],
)
def test_languages_of_a_column(texts, languages):
    assert languages_of(texts) == languages
