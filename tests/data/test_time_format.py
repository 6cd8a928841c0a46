"""How dates, times of day and durations of a column are written: one way for the column, doubts told."""

import pytest

from tonggan.data.time_format import fit_declared, fit_times
from tonggan.modalities import DateConfig, DurationConfig, TimeOfDayConfig

DAYS = range(1, 29)


def test_the_column_decides_what_stands_first():
    day_first = fit_times([f"{day}/3/2024" for day in DAYS], "x")
    month_first = fit_times([f"3/{day}/2024" for day in DAYS], "x")
    assert (day_first.config, month_first.config) == (DateConfig(order="day"), DateConfig(order="month"))
    assert day_first.numbers == month_first.numbers
    assert day_first.doubt is month_first.doubt is None
    assert day_first.reason == "dates from 2024-03-01 to 2024-03-28, with the day first"


@pytest.mark.parametrize(("mark", "order", "other"), [("/", "month", "day"), ("-", "day", "month")])
def test_an_open_order_is_told(mark, order, other):
    found = fit_times([mark.join(("3", str(day), "2024")) for day in range(4, 12)], "x")
    assert found.config == DateConfig(order=order)
    assert (
        f"no cell says whether the day or the month stands first; the {order} is taken" in found.doubt.problem.english
    )
    assert found.doubt.remedy.english == f"If the {other} stands first: --set columns.NAME.order={other}"


def test_points_are_written_with_the_day_first():
    found = fit_times(["5.3.2024", "6.4.2024"], "x")
    assert (found.config, found.doubt) == (DateConfig(), None)


def test_two_orders_in_one_column_are_told():
    found = fit_times(["25/12/2024", "12/25/2024", "3/4/2024"] * 20, "x")
    assert not found.is_sure
    assert found.doubt.problem.english.startswith("dates in two orders, e.g. '25/12/2024' and '12/25/2024'")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["2024-03-05", "2024-03-06T10:00:00+01:00"], "date"),
        (["2024年3月5日", "2024年4月1日", "未知"], "date"),
        ([f"202403{day:02d}" for day in DAYS], "date"),
        (["20240301", "20240302"], None),
        ([f"2024{number}" for number in range(1000, 1100)], None),
        (["14:30", "02:15"], "time"),
        (["2:30 PM", "11:15 am"], "time"),
        (["1:02:03", "0:45:00"], "duration"),
        (["0:45", "3:10"], "duration"),
        (["25:10", "31:45"], "duration"),
        (["PT1H30M", "PT5M"], "duration"),
        (["1 h 20 min", "45 min"], "duration"),
        (["3 天", "10 天"], "duration"),
        (["0 days 01:30:00", "1 days 00:00:00"], "duration"),
        (["5 m", "6 m"], None),
        (["12", "13"], None),
        (["1.5", "2024.03"], None),
        (["meet on 2024-03-05 at 14:30", "paid 30 on 5.3.2024"], None),
        (["3 years", "5 years"], None),
        (["n/a", "?"], None),
        (["A-2024-03", "B-2024-04"], None),
        (["192.168.1.1", "10.0.0.1"], None),
        (["1.2.3", "1.10.2"], None),
    ],
)
def test_kinds(values, kind):
    found = fit_times(values, "column")
    assert (None if found is None or not found.is_sure else found.config.kind) == kind


@pytest.mark.parametrize(
    ("name", "kind"), [("start", "time"), ("duration_of_call", "duration"), ("通话时长", "duration")]
)
def test_the_name_decides_what_the_cells_leave_open(name, kind):
    assert fit_times(["01:30", "02:45"], name).config.kind == kind


def test_what_may_be_a_duration_is_said():
    assert "if they are durations: --set columns.NAME.kind=duration" in fit_times(["01:30", "02:45"], "x").reason
    assert fit_times(["01:30", "22:45"], "x").reason == "times of day from 01:30:00 to 22:45:00"
    assert "--set columns.NAME.begins=hours" in fit_times(["0:30", "2:45"], "x").reason


def test_what_is_partly_dates_is_told():
    found = fit_times(["2024-03-05", "2024-03-06", "soon"], "x")
    assert not found.is_sure
    assert found.doubt.problem.english == "dates in 67% of the cells and other texts in the rest, e.g. 'soon'"
    assert fit_times(["2024-03-05", "soon", "later", "never"], "x") is None


def test_what_stands_for_missing_and_the_zone_are_said():
    reason = fit_times(["2024-03-05T10:00:00Z", "2024-03-06T10:00:00+02:00", "n/a"], "x").reason
    assert reason.startswith("dates from 2024-03-05 10:00:00 to 2024-03-06 08:00:00, with hours in UTC")
    assert reason.endswith("'n/a' count as missing")


@pytest.mark.parametrize(("factor", "epoch"), [(1, "s"), (10**3, "ms"), (10**6, "us"), (10**9, "ns")])
def test_what_declared_numbers_count_is_found(factor, epoch):
    numbers = [1_709_649_000 * factor, 1_709_735_400 * factor]
    for values in (numbers, [str(number) for number in numbers]):
        found = fit_declared(DateConfig(), values)
        assert found.config == DateConfig(epoch=epoch)
        assert found.reason.startswith("dates from 2024-03-05 14:30:00 to 2024-03-06 14:30:00, ")


def test_what_is_declared_is_taken():
    assert fit_declared(DateConfig(order="day"), ["3/13/2024", "3/4/2024"]).config == DateConfig(order="day")
    assert fit_declared(DateConfig(), ["3/13/2024", "3/4/2024"]).config == DateConfig(order="month")
    assert fit_declared(DurationConfig(), ["01:30"]).reason == "durations from 0:01:30 to 0:01:30"
    assert fit_declared(TimeOfDayConfig(), ["01:30"]).reason == "times of day from 01:30:00 to 01:30:00"
    assert fit_declared(DateConfig(), ["x"]).reason == "dates"
