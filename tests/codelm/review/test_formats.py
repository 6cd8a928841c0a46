import json

from jsonschema import Draft7Validator

from command_line import tonggan
from review_scene import written
from tonggan.codelm.review import review
from tonggan.codelm.review.formats import to_sarif

DRIFT = 'def f(a, b=3):\n    """F.\n\n    Args:\n        a: one.\n        b: two. Default: 4.\n    """\n'

# What the schema of SARIF 2.1.0 requires of the parts that a review uses.
LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "id": {"type": "integer", "minimum": -1},
        "message": {"type": "object", "required": ["text"]},
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation"],
            "properties": {
                "artifactLocation": {"type": "object", "properties": {"uri": {"type": "string"}}},
                "region": {
                    "type": "object",
                    "properties": {
                        name: {"type": "integer", "minimum": 1}
                        for name in ("startLine", "startColumn", "endLine", "endColumn")
                    },
                    "additionalProperties": False,
                },
            },
        },
    },
    "additionalProperties": False,
}
RESULT = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": -1},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": {"type": "object", "required": ["text"]},
        "rank": {"type": "number", "minimum": -1, "maximum": 100},
        "locations": {"type": "array", "items": LOCATION},
        "relatedLocations": {"type": "array", "uniqueItems": True, "items": LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "fixes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["artifactChanges"],
                "properties": {
                    "artifactChanges": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["artifactLocation", "replacements"],
                            "properties": {
                                "replacements": {
                                    "type": "array",
                                    "minItems": 1,
                                    "items": {"type": "object", "required": ["deletedRegion"]},
                                }
                            },
                        },
                    }
                },
            },
        },
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {"driver": {"type": "object", "required": ["name"]}},
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "originalUriBaseIds": {"type": "object"},
                    "invocations": {
                        "type": "array",
                        "items": {"type": "object", "required": ["executionSuccessful"]},
                    },
                    "results": {"type": "array", "items": RESULT},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}


def test_the_log_has_what_the_schema_requires(tmp_path):
    written(tmp_path, {"a é.py": DRIFT, "broken.py": "def f(:\n"})
    told = tonggan("code", "review", tmp_path, "--format", "sarif")
    assert told.code == 1
    log = json.loads(told.out)
    Draft7Validator.check_schema(SCHEMA)
    Draft7Validator(SCHEMA).validate(log)
    (run,) = log["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "docstring-default"
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"] == {"uri": "a%20%C3%A9.py", "uriBaseId": "ROOT"}
    line = DRIFT.split("\n")[location["region"]["startLine"] - 1]
    assert line[location["region"]["startColumn"] - 1 : location["region"]["endColumn"] - 1] == "4"
    assert result["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"] == {"text": "3"}
    assert "broken.py" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_fingerprints_survive_shifted_lines(tmp_path):
    def fingerprints(text):
        log = to_sarif(review([written(tmp_path, {"a.py": text})]))
        return [each["partialFingerprints"] for each in log["runs"][0]["results"]]

    assert fingerprints(DRIFT) == fingerprints("import os\n\n" + DRIFT)
    assert fingerprints(DRIFT) != fingerprints(DRIFT.replace("def f", "def g"))


def test_the_page_escapes_what_the_repository_holds(tmp_path):
    written(tmp_path, {"a.py": DRIFT.replace("two.", "<script>two</script>.")})
    told = tonggan("code", "review", tmp_path, "--format", "html")
    assert "&lt;script&gt;two" in told.out
    assert "<script>" not in told.out
    assert "文档称“b”默认为 4，但 f 中是 3" in told.out
    assert "&#39;b&#39; is said to default to 4, but f has 3" in told.out
