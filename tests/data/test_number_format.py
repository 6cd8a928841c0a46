import pytest

from tonggan.data.number_format import fit_numbers


@pytest.mark.parametrize(
    ("values", "numbers", "reason"),
    [
        (["1", "2.5", "-3e4", "NA", "?"], [1, 2.5, -3e4], "'NA' and '?' count as missing"),
        (["1,5", "2,25"], [1.5, 2.25], "written with a decimal comma"),
        (["1,234", "0,345"], [1.234, 0.345], "decimal comma"),
        (["1,234.50", "2,000.00"], [1234.5, 2000], "with ',' between thousands"),
        (["1,234", "12,500"], [1234, 12500], "if the comma is a decimal mark: --set columns.NAME.decimal=comma"),
        (["1.234,50", "12,00"], [1234.5, 12], "with '.' between thousands"),
        (["1.234.567", "12.000"], [1234567, 12000], "with '.' between thousands"),
        (["1 234,5", "12,5"], [1234.5, 12.5], "with blanks between thousands"),
        (["1'234", "950"], [1234, 950], "with apostrophes between thousands"),
        (["12,34,567", "99,999"], [1234567, 99999], "with ',' between thousands"),
        (["12 %", "5%"], [0.12, 0.05], "12 % is 0.12"),
        (["¥3.2万", "¥8000", "¥1.2亿"], [32e3, 8e3, 1.2e8], "¥万 for 10,000"),
        (["3亿", "2.5万", "700"], [3e8, 25e3, 700], "亿 for 100,000,000"),
        (["3.2万元", "8000元"], [32e3, 8e3], "in 元"),
        (["¥3.2万", "1,280.50元", "500"], [32e3, 1280.5, 500], "in 元, with ¥万 for 10,000"),
        (["¥3.2万元", "RMB 500"], [32e3, 500], "in rmb, with ¥万元 for 10,000"),
        (["$5k", "USD 700"], [5000, 700], "in usd, with $k for 1,000"),
        (["$1,200", "-$20", "($5.50)"], [1200, -20, -5.5], "in $"),
        (["€ 12,50", "3,20 €"], [12.5, 3.2], "in €"),
        (["€ 3,5 Mio.", "€ 2 Mrd."], [3.5e6, 2e9], "€mio for 1,000,000"),
        (["1.2k", "500", "3M"], [1200, 500, 3e6], "k for 1,000"),
        (["5m", "7m", "8"], [5, 7, 8], "in m"),
        (["42岁", "7岁"], [42, 7], "in 岁"),
        (["5 kg", "7KG", "8kg."], [5, 7, 8], "in kg"),
        (["5千克", "300克"], [5000, 300], "in 克"),
        (["1 hour", "2 hours"], [1, 2], "in hour"),
        (["120 km/h", "80 km/h"], [120, 80], "in km/h"),
        (["12 m2", "30 m²"], [12, 30], "in m2"),
        (["(12.5)", "3.0", "-"], [-12.5, 3], "'-' count as missing"),
        ([*map(str, range(90)), *["sold out"] * 10], range(90), "'sold out' count as missing"),
        ([*map(str, range(99)), "x"], range(99), ""),
    ],
)
def test_one_way_of_writing_for_the_column(values, numbers, reason):
    found = fit_numbers(values)
    assert found is not None
    assert found.is_sure, found.problem
    assert list(found.numbers) == pytest.approx(list(numbers))
    assert reason in found.reason
    read = [number for value in values if (number := found.config.read(value)) == number]
    assert read == list(found.numbers)


@pytest.mark.parametrize(
    "values",
    [
        ["12_0", "1_20"],
        ["1e5", "12E4", "2e5"],
        ["900719925474099267", "900719925474099266"],
        ["0x10", "0x20"],
        ["infinity", "nan"],
        ["01234", "00567", "12345"],
        ["2024/3/5", "2024/3/6"],
        ["2024年3月5日", "2024年3月6日"],
        ["05.03.2024", "12.11.2023"],
        ["10:20", "11:30"],
        ["10-20", "3-5"],
        ["A12", "A13"],
        ["INV-12", "INV-13"],
        ["1.png", "2.png"],
        ["171 123 456", "171 222 333"],
        ["NA", "nan"],
        ["one", "two", "3"],
    ],
)
def test_what_has_nothing_to_do_with_numbers(values):
    assert fit_numbers(values) is None


def test_the_remedy_multiplies_by_what_a_magnitude_says():
    found = fit_numbers(["3.2万元", "5 kg"] * 5)
    assert found is not None
    assert """{'万元': 10000, 'kg': 1}""" in found.remedy


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["5 kg", "300 g"] * 5, "numbers in different units: 5 with 'kg', 5 with 'g'"),
        (["$5", "€7"] * 5, "numbers in different units: 5 with '$', 5 with '€'"),
        (["12%", "0.3"] * 5, "numbers in different units: 5 with '%', 5 without a unit"),
        (
            [*map(str, range(80)), *(f"text {row} a" for row in range(20))],
            "numbers in 80% of the cells and other texts",
        ),
    ],
)
def test_doubt_is_said_with_a_remedy(values, problem):
    found = fit_numbers(values)
    assert found is not None
    assert not found.is_sure
    assert problem in found.problem
    assert "--set" in found.remedy


@pytest.mark.parametrize(
    "values", [["12A", "13B", "14C", "15D", "16E", "17F", "18G"], ["192.168.1.1", "10.0.0.1"], ["1.2.3", "1.10.2"]]
)
def test_codes_are_no_doubtful_numbers(values):
    assert fit_numbers(values) is None
