import pytest

from tonggan.cli.output_path import check_no_input
from tonggan.errors import ConfigError


def test_what_is_read_is_not_written_over(tmp_path):
    path = tmp_path / "table.csv"
    check_no_input(path, [path], option="--out")  # nothing is there to lose
    path.write_text("a")
    (tmp_path / "link.csv").symlink_to(path)
    check_no_input(path, [tmp_path / "other.csv", str(tmp_path / "*.tsv")], option="--out")
    for source in (path, tmp_path / "link.csv", str(tmp_path / "t*.csv")):
        with pytest.raises(ConfigError, match=r"--out .*table\.csv: got a file that is read here"):
            check_no_input(path, [source], option="--out")


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(ConfigError, match=r"--out .*: got a folder, expected a file to write"):
        check_no_input(tmp_path, [], option="--out")
