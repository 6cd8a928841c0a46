import json
import os
import sys

import forked
from review_scene import written
from tonggan.cli.code_review import as_json
from tonggan.codelm.review import review
from tonggan.codelm.review.formats import to_html

RULES = '''
    from tonggan.codelm.review import Finding
    from tonggan.codelm.review.registry import rule

    @rule("loud-names")
    def loud(repository):
        """Names are loud. Known false alarms: all."""
        for module in repository.reviewed_modules():
            for function in module.functions:
                line = {"quiet": 0, "late": 99}.get(function.name) or 1 / len(function.name.strip("x")) and 1
                yield Finding("loud-names", module.path, line, line, 1, 2, "loud", (), 0.5)

    @rule("never-ready")
    def never(repository):
        """Nothing. Known false alarms: none."""
        yield from repository.no_such_attribute
'''
FILES = {"a.py": "def f(): ...\n", "b.py": "def xx(): ...\n", "c.py": "def late(): ...\n", "d.py": "def g(): ...\n"}


def test_a_rule_of_another_package_that_raises_is_left_out_where_it_does(tmp_path):
    points = "[tonggan.parts]\nloud = loud_rules\n"
    information = "loud_rules-1.0.dist-info"
    package = {f"{information}/METADATA": "Name: loud-rules\nVersion: 1.0\n", f"{information}/entry_points.txt": points}
    written(tmp_path / "package", package | {"loud_rules.py": RULES})
    code = written(tmp_path / "code", FILES)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "package")}
    command = [sys.executable, "-m", "tonggan", "code", "review", str(code), "--format", "sarif"]
    done = forked.run(command, env=environment, is_fresh=True)
    assert done.returncode == 1, done.stderr
    run = json.loads(done.stdout)["runs"][0]
    places = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"]]
    assert sorted(places) == ["a.py", "d.py"]
    noted = {
        (each["associatedRule"]["id"], *(place["physicalLocation"]["artifactLocation"]["uri"] for place in
         each.get("locations", ()))): each["message"]["text"]
        for each in run["invocations"][0]["toolExecutionNotifications"]
    }  # fmt: skip
    assert noted["loud-names", "b.py"] == "Not applied: loud-names: ZeroDivisionError: division by zero"
    assert "lines 99 to 99" in noted["loud-names", "c.py"]
    assert "no_such_attribute" in noted["never-ready",]
    assert len(noted) == 3
    assert "Not applied to b.py: loud-names: ZeroDivisionError: division by zero" in " ".join(done.stderr.split())


def test_what_is_left_out_leaves_the_exit_code_and_is_named(tmp_path, monkeypatch):
    from tonggan.codelm.review import registry

    def raises(repository):
        if any(repository.reviewed_modules()):
            raise KeyError("pear")
        return ()

    monkeypatch.setitem(registry._RULES, "raises", registry.Rule("raises", raises))
    code = written(tmp_path, {f"{number}.py": "x = 1\n" for number in range(40)})
    found = review([code])
    assert found.findings == ()
    assert [each.path for each in found.failures][:2] == ["0.py", "1.py"]
    assert found.failures[-1].path is None
    assert len(found.failures) == 11
    assert as_json(found)["failures"][0] == {"rule": "raises", "path": "0.py", "error": "KeyError: 'pear'"}
    assert "raises: KeyError: " in to_html(found)
