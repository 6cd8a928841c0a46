import pytest

from command_line import SMALL, assert_named, tonggan


@pytest.fixture(scope="module")
def network(tmp_path_factory, shared_cache, table):
    run = tmp_path_factory.mktemp("network") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        assert tonggan("fit", table, "--target", "label", "--out", run, *SMALL).code == 0
    return run


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
    assert_named(tonggan("export", run, "--format", "onnx", "--out", out), "not networks", code=2)
