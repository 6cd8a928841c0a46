import numpy as np
import pytest

from e5_scene import PIECES, WIDTH, write_e5_file
from tonggan.encoders.bert import Bert
from tonggan.errors import DataError
from tonggan.weights.e5_file import E5File, unpack


def test_weights_are_those_of_the_file_by_other_names(tmp_path):
    written = write_e5_file(tmp_path / "e5.bin")
    file = E5File(tmp_path / "e5.bin", name="e5")
    assert len(file.tensors()) == len(written)
    pairs = {
        "emb.word": "embeddings.word_embeddings.weight",
        "emb.pos": "embeddings.position_embeddings.weight",
        "l1.fo.w": "encoder.layer.1.output.dense.weight",
        "l0.aln.b": "encoder.layer.0.attention.output.LayerNorm.bias",
    }
    state = Bert.read(file).plain_state()
    for name, other in pairs.items():
        np.testing.assert_array_equal(state[other], written[name])


def test_a_few_rows_are_unpacked_alone(tmp_path):
    written = write_e5_file(tmp_path / "e5.bin")
    words = E5File(tmp_path / "e5.bin", name="e5").tensors()["embeddings.word_embeddings.weight"]
    assert words.shape == (len(PIECES), WIDTH // 32, 18)
    np.testing.assert_array_equal(unpack(words[[3, 5]]), written["emb.word"][[3, 5]])


def test_the_vocabulary_cuts_as_sentencepiece_does(tmp_path):
    write_e5_file(tmp_path / "e5.bin")
    tokenizer = E5File(tmp_path / "e5.bin", name="e5").tokenizer
    assert tokenizer.encode("query: a\n\n cat").tokens == ["<s>", "▁que", "ry", ":", "▁a", "▁cat", "</s>"]
    # The compatibility form of the full-width tilde is another piece; that of the full-width letter is not.
    assert tokenizer.encode("</s>").tokens == ["<s>", "▁", *"</s>", "</s>"]
    assert tokenizer.encode("世界～ｃ").tokens == ["<s>", "▁", "世界", "～", "c", "</s>"]


@pytest.mark.parametrize("keep", [0, 3, 60, 400, -100])
def test_a_file_that_is_cut_short_or_another_is_refused(tmp_path, keep):
    path = tmp_path / "e5.bin"
    write_e5_file(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"e5\.bin: .*expected the weights of an E5 model in 4 bits"):
        E5File(path, name="e5")
    path.write_bytes(b"GGUF" * 100)
    with pytest.raises(DataError, match="it begins with b'GGUF'"):
        E5File(path, name="e5")
