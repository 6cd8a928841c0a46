"""Rows of a request: dates and durations in any writing that is read mean what they mean in a table."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

import tonggan
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.media import MediaLimits
from tonggan.serving.rows import RowModel

CONFIG = ServerConfig()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    starts = [datetime(2024, 3, 1) + timedelta(hours=7 * row) for row in range(60)]
    data = {
        "start": [f"{start:%m/%d/%Y %H:%M}" for start in starts],
        "took": [f"{row} min" for row in range(60)],
        "fare": [start.hour + row / 10 for row, start in enumerate(starts)],
    }
    settings = ["floor.preset=fast", "audit_alone=false"]
    predictor = tonggan.fit(data, target="fare", out=tmp_path_factory.mktemp("runs") / "run", settings=settings)
    return RowModel(predictor.bundle, config=CONFIG)


def predict(model, **cells):
    row = model.read(cells, param="rows[0]", media=MediaLimits(CONFIG))
    assert model.compare([row]) == []
    return model.predict([row])[0]["prediction"]


def test_a_date_and_a_duration_in_other_writings(model):
    assert model.columns == {"start": "date", "took": "duration"}
    usual = predict(model, start="03/15/2024 14:30", took="20 min")
    assert predict(model, start="2024-03-15T14:30:00", took="0:20:00") == usual
    assert predict(model, start="15/03/2024 14:30", took=1200) == usual
    assert predict(model, start="2024年3月15日 下午2:30", took="PT20M") == usual


@pytest.mark.parametrize(("cells", "kind"), [({"start": "soon"}, "date"), ({"took": "long"}, "duration")])
def test_what_is_not_read_is_refused(model, cells, kind):
    with pytest.raises(RefusedError, match=f"a cell of kind {kind}"):
        model.read(cells, param="rows[0]", media=MediaLimits(CONFIG))
