import pytest
from pydantic import TypeAdapter

from tonggan.encoders import EncoderConfig, default_encoder
from tonggan.errors import ConfigError


@pytest.mark.parametrize(
    ("modality", "kind"),
    [("image", "image_resnet"), ("text", "text_transformer"), ("audio", "audio_cnn"), ("table", "table")],
)
def test_default(modality, kind):
    config = default_encoder(modality)
    assert config.kind == kind
    assert TypeAdapter(EncoderConfig).validate_python(config.to_dict()) == config


def test_no_encoder_of_that_kind():
    with pytest.raises(ConfigError, match=r"an input of kind 'smell', expected one of audio, .*image, .*table, .*text"):
        default_encoder("smell")
