from tonggan.codelm.completion.modules import Modules
from tonggan.codelm.workspace import Workspace


def test_where_modules_are(tmp_path):
    package = tmp_path / "src" / "shop"
    (package / "parts").mkdir(parents=True)
    for name in ("__init__.py", "goods.py", "parts/__init__.py", "parts/wheel.py"):
        (package / name).write_text("x = 1\n")
    modules = Modules(Workspace(tmp_path))
    importer = package / "parts" / "wheel.py"

    def find(name):
        return modules.find(name, importer=importer)

    assert find("shop.goods") == find("..goods") == package / "goods.py"
    assert find(".") == package / "parts" / "__init__.py"
    assert find("json").name == "__init__.py"
    assert find("nothing_of_this_name") is None
    assert modules.has_folder("shop", importer=importer)
    assert "x" in modules.parsed(package / "goods.py")[1].bindings
    assert modules.parsed(tmp_path / "gone.py") is None
