from tonggan.layers.batches import rows_of_like_length


def test_each_row_comes_once_with_those_of_like_length():
    lengths = [3, 50, 0, 7, 7, 1, 12]
    found = list(rows_of_like_length(lengths, max_tokens=14))
    assert found == [[1], [6], [3, 4], [0, 5, 2]]
    for rows in found[1:]:
        assert len(rows) * max(lengths[row] for row in rows) <= 14


def test_no_rows_and_rows_without_tokens():
    assert list(rows_of_like_length([], max_tokens=8)) == []
    assert list(rows_of_like_length([0, 0], max_tokens=8)) == [[0, 1]]
