from tonggan.models.transcript import Segment, Transcript

SEGMENTS = [Segment(0.0, 2.5, "Good morning."), Segment(3661.04, 3662.9999, "Good night.", -0.25, 0.01)]


def test_subtitles_have_hours_and_milliseconds():
    assert Transcript(SEGMENTS, 4000.0).to_srt() == (
        "1\n00:00:00,000 --> 00:00:02,500\nGood morning.\n\n2\n01:01:01,040 --> 01:01:03,000\nGood night.\n\n"
    )


def test_json_leaves_out_what_is_not_known():
    found = Transcript(SEGMENTS, 4000.0, "en").to_dict()
    assert found["text"] == "Good morning. Good night."
    assert (found["language"], found["duration"]) == ("en", 4000.0)
    assert found["segments"][0] == {"id": 0, "start": 0.0, "end": 2.5, "text": "Good morning."}
    assert found["segments"][1]["avg_logprob"] == -0.25


def test_chinese_is_joined_without_blanks():
    assert Transcript([Segment(0, 1, "早上好。"), Segment(1, 2, "晚安。")], 2.0, "zh").text == "早上好。晚安。"
