import pytest

from command_line import SMALL, assert_named, tonggan


@pytest.fixture(scope="module")
def network(tmp_path_factory, shared_cache, table):
    run = tmp_path_factory.mktemp("network") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        assert tonggan("fit", table, "--target", "label", "--out", run, *SMALL).code == 0
    return run


def test_a_table_tells_what_it_costs(network, table, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    out = tmp_path / "pruned"
    outcome = tonggan("compress", network, "--prune", "50%", "--out", out, "--set", "training.epochs=1")
    assert outcome.code == 0, outcome.err
    for text in ("original", "prune", "ms, 32 rows", "Report: ", "tonggan predict"):
        assert text in outcome.out
    assert "channels, units and heads are taken out" in outcome.err
    told = tonggan("predict", out, table, "--out", tmp_path / "predictions.csv", "--json").json
    assert told["rows"] == 64
    assert tonggan("info", out, "--json").json["compression"]["kind"] == "prune"


def test_a_run_goes_into_one_file_that_commands_open(network, table, tmp_path):
    file = tmp_path / "run.tonggan"
    told = tonggan("export", network, "--format", "bundle", "--out", file, "--json").json
    assert told == {"out": str(file), "format": "bundle", "bytes": file.stat().st_size}
    assert tonggan("predict", file, table, "--out", tmp_path / "predictions.csv", "--json").json["rows"] == 64
    assert tonggan("info", file, "--json").json["task"] == "binary"


def test_what_is_wrong_is_named(network, run, tmp_path):
    out = tmp_path / "out"
    assert tonggan("compress", network, "--prune", "half", "--out", out).code == 2
    assert_named(tonggan("compress", network, "--out", out), "no way", code=2)
    assert_named(tonggan("compress", run, "--prune", "0.5", "--out", out), "--distill small", code=2)
    assert tonggan("export", network, "--out", out).code == 2
    assert tonggan("export", network, "--format", "onnx").code == 2
    assert_named(tonggan("export", run, "--format", "onnx", "--out", out), "no network", code=2)
