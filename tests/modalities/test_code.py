import json

import pytest
import torch

from contracts import check_modality
from tonggan.modalities import load_modality
from tonggan.modalities.code import MASK_ID, RELATIONS, Code, CodeConfig, leaves_of

PROGRAMS = [
    "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result\n",
    "def broken(x:\n    return x + \n",
    "x = (1, 2)\ny, z = x\nprint(y)\n",
    None,
]


@pytest.fixture(scope="module")
def code() -> Code:
    code = CodeConfig(min_frequency=1).build()
    code.fit(PROGRAMS)
    return code


def test_contract():
    check_modality(CodeConfig(min_frequency=1).build(), "code", {"code": PROGRAMS})


def flow(text, language="python"):
    """The data flow of each name: ``name: last use, last write, computes``, by places of leaves."""
    leaves = leaves_of(text, language)
    return [
        (place, leaf.text, leaf.last_use, leaf.last_write, leaf.computes)
        for place, leaf in enumerate(leaves)
        if leaf.text.isidentifier() and leaf.kind.split(".")[0] != "import" and max(leaf.last_use, leaf.computes) >= 0
    ]


def test_data_flow_by_hand():
    #  0 1 2 3 4 5 6 7 8
    #  a = 1 b = a a = b
    assert flow("a = 1\nb = a\na = b + a\n") == [
        (5, "a", 0, 0, 3),
        (6, "a", 5, 0, -1),
        (8, "b", 3, 3, 6),
        (10, "a", 6, 0, 6),  # on the right stands what was written before
    ]


def test_parameters_and_loops_write():
    leaves = leaves_of("def f(a, b=1):\n    for i in a:\n        b(i, c=b)\n", "python")
    written = {leaf.text: leaves[leaf.last_write].kind for leaf in leaves if leaf.last_write >= 0}
    assert written == {"a": "parameters.", "i": "for_statement.left", "b": "default_parameter.name"}


def test_depths_and_beginnings_of_lines():
    leaves = leaves_of(PROGRAMS[0], "python")
    first = {leaf.text: leaf.layout for leaf in reversed(leaves)}
    assert (first["def"], first["total"], first["for"], first["return"]) == (16, 0, 17, 17)
    assert [leaf.layout for leaf in leaves if leaf.text == "result"] == [17, 18, 1]


def test_what_a_leaf_stands_in():
    leaves = leaves_of("f(a, g(b))\n", "python")
    texts = [leaf.text for leaf in leaves]
    heads = {leaf.text: texts[leaf.stands_in] for leaf in leaves if leaf.stands_in >= 0}
    assert heads["b"] == "("
    assert heads["a"] == "("
    assert leaves[0].stands_in == -1


def test_javascript():
    found = flow("let x = 1; function f(y) { x = y; return x; }", "javascript")
    assert "y" in {name for _, name, *_ in found}
    assert any(name == "x" and write >= 0 for _, name, _, write, _ in found)


def test_arrays_lead_to_tokens(code):
    arrays = code.collate(PROGRAMS)
    assert arrays.values.shape[2] == 3 + len(RELATIONS)
    assert arrays.present.tolist() == [True, True, True, False]
    for row in range(3):
        length = int(arrays.mask[row].sum())
        relations = arrays.values[row, :length, 3:]
        assert relations.min() >= -1
        assert relations.max() < length
        assert (relations[:, :2] < torch.arange(length)[:, None]).all()
    assert arrays.texts.tolist() == [text and text.rstrip() for text in PROGRAMS]


def test_what_is_cut_off_leads_nowhere():
    code = CodeConfig(min_frequency=1, max_tokens=6).build()
    code.fit(PROGRAMS)
    arrays = code.collate(PROGRAMS)
    assert arrays.values.shape[1] == 6
    assert arrays.values[..., 3:].max() < 6


def test_new_words_are_masked_and_new_kinds_too(code):
    arrays = code.collate(["lambda: zebra"])
    assert (arrays.values[0, :, 0] == MASK_ID).any()
    assert (arrays.values[0, :, 1] == MASK_ID).any()


def test_a_bundle_reads_alike(code):
    again = load_modality(code.config, json.loads(json.dumps(code.state())))
    for text in (*PROGRAMS[:3], "unknown(name)"):
        assert torch.equal(again.collate([text]).values, code.collate([text]).values)


def test_some_programs_lose_words_and_keep_their_structure(code):
    arrays = code.collate(PROGRAMS * 50)
    varied = code.vary(arrays, torch.Generator().manual_seed(0))
    assert torch.equal(varied.values[..., 1:], arrays.values[..., 1:])
    masked = (varied.values[..., 0] == MASK_ID) & arrays.mask
    assert 0 < masked.any(dim=1).sum() < 60


def test_unknown_language():
    with pytest.raises(ValueError, match="language 'klingon' has no grammar: choose one of python"):
        CodeConfig(language="klingon")


def test_what_no_parser_takes_is_missing():
    config = CodeConfig(language="yaml", max_tokens=4_096)
    deep = "\n".join(" " * depth + "-" for depth in range(150))
    assert config.is_unreadable(deep)
    assert not config.is_unreadable("no code at all")
    assert not CodeConfig().is_unreadable(None)
    code = config.build()
    code.fit(["a: 1"])
    assert code.collate([deep, "a: 1"]).present.tolist() == [False, True]


def test_what_all_lines_are_indented_by_does_not_count(code):
    one, other = code.collate(["x = 1\ny = x"]), code.collate(["\n    x = 1\n    y = x\n"])
    assert torch.equal(one.values, other.values)
