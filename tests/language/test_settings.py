import pytest

from contracts import check_config
from tonggan.errors import ConfigError
from tonggan.language.settings import GenerationConfig


def test_round_trip():
    check_config(GenerationConfig(temperature=0.7, stop=["\n"], json_schema={"type": "object"}))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"temperature": -1}, "temperature"),
        ({"stop": [""]}, "stop.0"),
        ({"lookup": 99}, "lookup"),
        ({"temprature": 1}, "the nearest is 'temperature'"),
        ({"regex": "a", "json_schema": {}}, "regex, json_schema and grammar exclude each other"),
        ({"num_beams": 4, "temperature": 0.5}, "beam search goes with none of temperature"),
        ({"trigger": "a"}, "trigger needs a grammar"),
        ({"num_beams": 4, "json_schema": {}}, "beam search goes with none of"),
    ],
)
def test_what_is_wrong_is_named(fields, problem):
    with pytest.raises(ConfigError, match=problem):
        GenerationConfig.parse(fields, who="settings")
