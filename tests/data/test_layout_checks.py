import pytest

from tonggan.data.layout_checks import check_layout
from tonggan.data.readers import open_table


def check(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    table = open_table(tmp_path / "a.csv", cache=tmp_path / "cache")
    return [finding.message for finding in check_layout(table, split="train")]


@pytest.mark.parametrize("total", ["Total", "合计", "Grand total:"])
def test_a_total_below_the_rows(tmp_path, total):
    [message] = check(tmp_path, f"name,n\na,1\nb,2\n{total},3\n")
    assert f"looks like a total: '{total}' in 'name'" in message


def test_data_in_the_place_of_names(tmp_path):
    [message] = check(tmp_path, "5.1,3.5,setosa\n4.9,3.0,setosa\n")
    assert "'5.1' is taken for a column's name" in message
    assert check(tmp_path, "2019,2020,2021\n1,2,3\n") == []
    assert check(tmp_path, "0,1,2,y\n1,2,3,a\n") == []
    assert check(tmp_path, "a,b\n1,2\n") == []
