import numpy as np
import pytest

from run_scene import fit
from tonggan.errors import ConfigError, DataError
from tonggan.modalities.recordings import Recording
from tonggan.models.transcript import TranscriptionConfig
from tonggan.runs.transcribing import RunTranscriber, open_transcriber
from transcription_scene import RATE, encoded, tone, transcribing_run


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    return transcribing_run(tmp_path_factory.mktemp("runs") / "tones")


def test_a_run_writes_a_long_recording_window_by_window(run):
    transcriber = open_transcriber(str(run))
    assert transcriber.sample_rate == RATE
    samples = np.concatenate([tone("low", seconds=1), tone("high", seconds=1), tone("low", seconds=0.5)])
    found = transcriber.transcribe(Recording(encoded(samples), sample_rate=RATE))
    assert [segment.text for segment in found.segments] == ["low", "high", "low"]
    assert [(segment.start, segment.end) for segment in found.segments] == [(0, 1), (1, 2), (2, 2.5)]
    assert found.duration == 2.5
    # More windows than go through the model at once.
    many = transcriber.transcribe(Recording(encoded(np.tile(samples[: 2 * RATE], 9)), sample_rate=RATE))
    assert [segment.text for segment in many.segments] == ["low", "high"] * 9


def test_what_a_run_has_not_learned_is_refused(run):
    transcriber = open_transcriber(str(run))
    with pytest.raises(ConfigError, match="got the setting 'language', expected none"):
        transcriber.check(TranscriptionConfig(language="zh"))


def test_a_run_that_does_not_write_recordings_down_is_refused(tmp_path, shared_cache):
    run = fit(tmp_path / "run", settings=["training.epochs=1"])
    with pytest.raises(DataError, match="0 columns of recordings and writes no texts"):
        RunTranscriber(run.bundle, name="run")
