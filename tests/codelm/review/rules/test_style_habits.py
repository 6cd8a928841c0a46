from review_scene import written
from tonggan.codelm.review import review


def told(folder, files, rule):
    return [(each.path, each.message) for each in review([written(folder, files)], only=[rule]).findings]


def test_an_import_under_another_name(tmp_path):
    files = {f"a{n}.py": "import numpy as np\n" for n in range(10)}
    assert told(tmp_path, files | {"b.py": "import numpy\n"}, "habit-import") == [
        ("b.py", "numpy is imported as 'numpy' here and as 'np' in 10 other places")
    ]
    assert told(tmp_path, {"b.py": "import numpy\nnp = 3\n"}, "habit-import") == []
    assert told(tmp_path, {"b.py": "import numpy  # np is the name of a column\n"}, "habit-import") == []
    assert told(tmp_path, {"b.py": "def f():\n    import numpy\n"}, "habit-import") == []
    assert told(tmp_path, {"b.py": "import numpy\n", "c.py": "import numpy\n"}, "habit-import") == []


def test_a_file_that_logs_in_another_way(tmp_path):
    files = {f"a{n}.py": "import logging\nlogger = logging.getLogger(__name__)\n" for n in range(10)}
    assert told(tmp_path, files | {"b.py": "import logging\nlogging.info('x')\n"}, "habit-logging") == [
        ("b.py", "this file logs through 'logging' itself; 10 others have a logger of their own")
    ]
    assert told(tmp_path, {"c.py": "import logging\nlogging.info('x')\n"}, "habit-logging") == []
