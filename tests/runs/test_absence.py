"""A row without its deciding cell is answered with doubt, whatever else it holds."""

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

import tonggan  # noqa: E402
from ensemble_scene import QUICK_MEMBERS  # noqa: E402
from tonggan.floor import config as floor_config  # noqa: E402

pytestmark = pytest.mark.slow
RANDOM = np.random.default_rng(0)
ROWS = 240
X, Z = RANDOM.random((2, ROWS))
NAMES = RANDOM.choice(list("pqrstu"), ROWS)
NOTHING = [None, None, None]
WAYS = {
    "network": ["floor=null", "audit_alone=false", "training.precision=fp32"],  # the same on all CPUs
    "members": ["floor.network=false", "floor.folds=2", "audit_alone=false"],
}


@pytest.fixture(params=list(WAYS))
def settings(request):
    return WAYS[request.param]


@pytest.fixture(autouse=True)
def _quick_members(monkeypatch):
    monkeypatch.setattr(floor_config, "_VARIANTS", QUICK_MEMBERS)


def of_words(settings):
    """The same for a column of texts, whatever frozen encoders are installed."""
    return [*settings, "columns.text.kind=text", *(["floor.weights.text=null"] if settings == WAYS["members"] else [])]


def assert_doubt(probabilities):
    away = np.abs(probabilities - 0.5)
    assert away.mean() < 0.2
    assert away.max() < 0.25


@pytest.mark.parametrize("seed", [1, 2])
def test_a_missing_number(tmp_path, seed, settings):
    table = pd.DataFrame({"x": X, "z": Z, "y": np.where(X > 0.5, "hi", "lo")})
    model = tonggan.fit(table, target="y", out=tmp_path / "run", seed=seed, settings=settings)
    assert (np.array(model.predict(table[["x", "z"]])) == table.y).mean() > 0.95
    without_x = model.predict_proba(pd.DataFrame({"x": NOTHING, "z": [0.1, 0.5, 0.9]}, dtype=float))
    without_any = model.predict_proba(pd.DataFrame({"x": [None], "z": [None]}, dtype=float))
    assert_doubt(without_x)
    assert np.abs(without_any - 0.5).max() < 0.1


def test_a_name_never_seen_or_missing(tmp_path, settings):
    table = pd.DataFrame({"name": NAMES, "z": Z, "y": np.where(np.isin(NAMES, list("pqr")), "yes", "no")})
    model = tonggan.fit(table, target="y", out=tmp_path / "run", seed=1, settings=settings)
    assert (np.array(model.predict(table[["name", "z"]])) == table.y).mean() > 0.95
    doubtful = model.predict_proba(pd.DataFrame({"name": ["never seen", None, "also new"], "z": [0.1, 0.5, 0.9]}))
    assert_doubt(doubtful)


def test_a_number_is_predicted_near_the_mean(tmp_path, settings):
    table = pd.DataFrame({"x": X, "z": Z, "y": 100 * X})
    model = tonggan.fit(table, target="y", out=tmp_path / "run", settings=settings)
    assert np.abs(np.array(model.predict(table[["x", "z"]])) - table.y).mean() < 6
    without_x = np.array(model.predict(pd.DataFrame({"x": NOTHING, "z": [0.1, 0.5, 0.9]}, dtype=float)))
    assert np.abs(without_x - table.y.mean()).max() < 20


def test_a_missing_number_beside_a_text(tmp_path, settings):
    words = ["the", "film", "was", "a", "story", "about", "people", "with", "some", "music", "and", "light", "in", "it"]
    texts = [" ".join(RANDOM.choice(words, 6)) for _ in X]
    table = pd.DataFrame({"x": X, "z": Z, "text": texts, "y": np.where(X > 0.5, "hi", "lo")})
    model = tonggan.fit(table, target="y", out=tmp_path / "run", seed=1, settings=of_words(settings))
    assert (np.array(model.predict(table[["x", "z", "text"]])) == table.y).mean() > 0.95
    without_x = model.predict_proba(table[["x", "z", "text"]].assign(x=np.nan)[:12])
    assert_doubt(without_x)


def test_a_text_of_unknown_words(tmp_path, settings):
    words = ["the", "film", "was", "a", "story", "about", "people", "with", "some", "music", "and", "light", "in", "it"]
    decisive = {"pos": ["good", "great", "fine", "lovely"], "neg": ["bad", "awful", "poor", "ugly"]}
    labels = RANDOM.choice(["pos", "neg"], ROWS)
    texts = [" ".join([*RANDOM.choice(words, 5), RANDOM.choice(decisive[label])]) for label in labels]
    model = tonggan.fit(
        pd.DataFrame({"text": texts, "z": Z, "y": labels}),
        target="y",
        out=tmp_path / "run",
        settings=of_words(settings),
    )
    assert (np.array(model.predict(pd.DataFrame({"text": texts, "z": Z}))) == labels).mean() > 0.95
    unsaid = [" ".join(RANDOM.choice(words, 5)) for _ in range(20)]
    doubtful = model.predict_proba(
        pd.DataFrame({"text": ["Кошка сидит", "猫在家里", "", *unsaid], "z": [0.1, 0.5, 0.9, *Z[:20]]})
    )
    assert_doubt(doubtful)
