from review_scene import findings_in, messages

ARGUMENT, RESULT, CONTEXT = "call-argument-left-out", "call-result-unchecked", "call-without-context"


def calls(template, count):
    return "\n".join(template.format(n=n) for n in range(count)) + "\n"


def test_the_one_call_that_leaves_an_argument_out(tmp_path):
    text = "def save(path, mode=1):\n    return path\n\n" + calls("save('{n}', mode=2)", 21) + "save('x')\n"
    (found,) = findings_in(tmp_path, text, ARGUMENT)
    assert found.message == "this call of save omits 'mode', which all 21 others pass"
    assert found.start_line == 25
    assert found.evidence[1].text == "save('0', mode=2)"
    few = text.replace("save('1', mode=2)\n", "").replace("save('2', mode=2)\n", "")
    assert messages(tmp_path, few, ARGUMENT) == []
    assert messages(tmp_path, text + "save('y')\n", ARGUMENT) == []
    assert messages(tmp_path, text.replace("save('x')", "save(*given)"), ARGUMENT) == []
    tested = "class TestSave:\n    def check(self):\n        save('x')\n"
    assert messages(tmp_path, text.replace("save('x')\n", tested), ARGUMENT) == []


FIND = "def find(name):\n    if name:\n        return None\n    return name\n\n"
CHECKED = "def f{n}():\n    found = find('{n}')\n    if found is None:\n        return 1\n    return found.x\n"


def test_a_result_that_may_be_none_is_used_at_once(tmp_path):
    text = FIND + calls(CHECKED, 9)
    (found,) = findings_in(tmp_path, text + "print(find('z').x)\n", RESULT)
    assert found.message == "find may return None, which 9 other calls check for and this one does not"
    assert messages(tmp_path, text + "print(find('z').x)\nprint(find('y').x)\n", RESULT) == []
    sure = text.replace("return None", "return 3")
    assert messages(tmp_path, sure + "print(find('z').x)\n", RESULT) == []


LOCK = "class Lock:\n    def __enter__(self):\n        return self\n    def __exit__(self, *error):\n        pass\n\n"


def test_what_all_others_use_in_a_with(tmp_path):
    text = LOCK + calls("def f{n}():\n    with Lock():\n        print({n})\n", 9)
    (found,) = findings_in(tmp_path, text + "def g():\n    lock = Lock()\n    print(1)\n", CONTEXT)
    assert found.message == "Lock is used in a 'with' by 9 other calls and not here"
    for used in ("    return lock\n", "    lock.close()\n", "    with lock:\n        print(1)\n"):
        assert messages(tmp_path, text + "def g():\n    lock = Lock()\n" + used, CONTEXT) == []
