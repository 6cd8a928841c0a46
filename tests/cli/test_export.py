import pytest

from command_line import assert_named, tonggan
from generation_scene import engine, gguf_file
from tonggan.language.pretrained import load_pretrained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return gguf_file(tmp_path_factory.mktemp("export"))


@pytest.mark.parametrize(("kind", "error"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 0.01)])
def test_weights_are_those_of_the_model(model, tmp_path, kind, error):
    out = tmp_path / "out.gguf"
    told = tonggan("export", model, "--gguf", out, "--kind", kind, "--json").json
    assert told == {"out": str(out), "kind": kind, "bytes": out.stat().st_size}
    name = "model.layers.1.self_attn.q_proj.weight"
    expected = engine().model.state_dict()[name]
    assert (load_pretrained(str(out)).read(name) - expected).abs().max() <= error * expected.abs().max()


def test_half_precision_unless_told(model, tmp_path):
    outcome = tonggan("export", model, "--gguf", tmp_path / "out.gguf")
    assert "tiny in f16" in outcome.out


def test_what_cannot_be_exported(model, run, tmp_path):
    assert_named(tonggan("export", tmp_path / "none", "--gguf", tmp_path / "out.gguf"), "no such file", code=2)
    assert_named(tonggan("export", run, "--gguf", tmp_path / "out.gguf"), "a run of the task 'binary'")
    (tmp_path / "file").write_text("")
    assert_named(tonggan("export", model, "--gguf", tmp_path / "file" / "out.gguf"), "Free space")
    assert_named(tonggan("export", model, "--gguf", model, "--kind", "q8_0"), "a file that is read here", code=2)
    assert_named(tonggan("export", run, "--gguf", run / "weights.safetensors"), "a file that is read here", code=2)
    assert tonggan("export", model, "--gguf", tmp_path / "out.gguf", "--kind", "q3").code == 2
