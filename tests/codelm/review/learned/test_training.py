import pytest
import torch

from bugs_scene import SMALL, counting_functions, train_counting
from tonggan.codelm.review.learned.detector import BugDetector
from tonggan.codelm.review.learned.fixes import fixes_between
from tonggan.codelm.review.learned.functions import Function
from tonggan.codelm.review.learned.network import RewriteScorerConfig
from tonggan.codelm.review.learned.training import held_out_folders, train_detector
from tonggan.codelm.review.reviewing import review
from tonggan.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_counting(tmp_path_factory.mktemp("detector") / "run")


def test_it_learns_what_all_functions_do(trained):
    assert trained.num_held_out >= 10
    assert trained.metrics["accuracy"] > 0.6
    assert trained.metrics["located"] > 0.4


def test_a_function_with_a_bug_is_suspected_more(trained):
    right = counting_functions(401)[-1]
    wrong = right._replace(text=right.text.replace("<= each <", "<= each >="))
    calm, alarmed = trained.detector.suspicions([right, wrong])
    assert alarmed.score > calm.score
    assert alarmed.rewrite.apply(wrong.text) == right.text
    assert alarmed.confidence >= calm.confidence


def test_a_saved_one_is_the_same(trained, tmp_path):
    path = tmp_path / "detector.safetensors"
    trained.detector.save(path)
    opened = BugDetector.open(path)
    some = counting_functions(3)
    for one, other in zip(trained.detector.suspicions(some), opened.suspicions(some), strict=True):
        assert one.rewrite == other.rewrite
        assert one.score == pytest.approx(other.score, abs=0.05)  # half precision
    torch.testing.assert_close(opened.levels, trained.detector.levels)


@pytest.mark.parametrize("damage", ["missing", "cut", "text"])
def test_a_damaged_one_is_named(trained, tmp_path, damage):
    path = tmp_path / "detector.safetensors"
    trained.detector.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.write_text("no detector")
    with pytest.raises(DataError, match=r"bug detector .*detector.safetensors"):
        BugDetector.open(path)


def test_whole_packages_are_held_out_where_there_are_enough():
    paths = [f"package_{row % 40}/{row}.py" for row in range(400)] + [f"large/{row}.py" for row in range(600)]
    held_out = held_out_folders(paths)
    kept = [path for path in paths if path.startswith(held_out)]
    assert all(folder.endswith("/") for folder in held_out)
    assert 40 <= len(kept) <= 50
    assert not any(path.startswith("large/") for path in kept)


@pytest.mark.parametrize(("files", "expected"), [(60, 3), (20, 1), (3, 0)])
def test_files_are_held_out_of_one_package(files, expected):
    assert len(held_out_folders([f"package/{row % files}.py" for row in range(10 * files)])) == expected


def test_too_few_functions_are_refused(tmp_path):
    with pytest.raises(DataError, match="10 functions that can be read"):
        train_detector(counting_functions(10), folder=tmp_path / "run", config=SMALL)


def test_what_is_too_long_or_no_function_is_passed_over(trained):
    texts = ["def f(:", "def f():\n    return g()", "def f(a, b):\n" + "    a = b\n" * 400]
    assert list(trained.detector.suspicions([Function(text, "f", "a.py", 1, "") for text in texts])) == []


def test_a_review_tells_what_it_suspects(trained, tmp_path):
    path, folder = tmp_path / "detector.safetensors", tmp_path / "shop"
    trained.detector.levels[0] = -20  # so that what is found counts as sure
    trained.detector.save(path)
    folder.mkdir()
    right = counting_functions(401)[-1].text
    indented = "".join(f"    {line}\n" for line in right.replace("<= each <", "<= each >=").splitlines())
    (folder / "counts.py").write_text(f"class Counts:\n    # é\n{indented}")
    (finding,) = review([folder], only=["learned-bug"], detector=path).findings
    assert (finding.start_line, finding.path) == (6, "counts.py")
    assert finding.message == "`>=` compares where `<` would be expected"
    lines = (folder / "counts.py").read_text().splitlines()
    edit = finding.edit
    assert lines[5][edit.start_column - 1 : edit.end_column - 1] == ">="
    assert edit.text == "<"
    assert not review([folder], detector=None).findings


def test_a_review_wants_a_detector_for_its_rule(tmp_path):
    (tmp_path / "a.py").write_text("def f(a):\n    return a\n")
    with pytest.raises(ConfigError, match="--detector starter"):
        review([tmp_path], only=["learned-bug"])


def test_a_detector_keeps_its_size(trained, tmp_path):
    config = SMALL.model_copy(update={"network": RewriteScorerConfig(dim=24)})
    with pytest.raises(ConfigError, match=r"network\.dim=24.*as in the detector to go on from"):
        train_detector(counting_functions(10), folder=tmp_path / "run", config=config, start=trained.detector)


def test_fixes_are_learned_on_top_of_a_detector(trained, tmp_path):
    before = "def close(door, key):\n    if key is None:\n        return door\n    return key\n"
    after = before.replace("is None", "is not None")
    some = [(before.replace("door", f"door_{number}"), after.replace("door", f"door_{number}")) for number in range(60)]
    fixes = list(
        fixes_between(*([Function(pair[side], "close", f"{number}.py", 1, "") for number, pair in enumerate(some)]
                        for side in (0, 1)))
    )  # fmt: skip
    assert len(fixes) == 60
    config = SMALL.model_copy(update={"epochs": 2})
    tuned = train_detector(
        counting_functions(200), folder=tmp_path / "run", config=config, fixes=fixes, start=trained.detector
    )
    assert tuned.detector.config == trained.detector.config
    (suspicion,) = tuned.detector.suspicions([Function(before, "close", "a.py", 1, "")])
    (calm,) = tuned.detector.suspicions([Function(after, "close", "a.py", 1, "")])
    assert suspicion.rewrite.apply(before) == after
    assert suspicion.score > max(0, calm.score)
