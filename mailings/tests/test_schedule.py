from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from mailings.schedule import Timetable, add_months

MOSCOW, BERLIN = ZoneInfo("Europe/Moscow"), ZoneInfo("Europe/Berlin")
START = datetime(2026, 1, 31, 9, 0, tzinfo=MOSCOW)


def table(periodicity: str, start: datetime = START, zone=MOSCOW, ends_at=None) -> Timetable:
    return Timetable(start, periodicity, zone, ends_at)


def local(moments, zone=MOSCOW) -> list[str]:
    return [moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") for moment in moments]


class TestSlots:
    """S3: a mailing repeats with its periodicity."""

    def test_daily(self):
        slots = table("daily").upcoming(START, 3)
        assert local(slots) == ["2026-01-31 09:00", "2026-02-01 09:00", "2026-02-02 09:00"]

    def test_weekly(self):
        slots = table("weekly").upcoming(START, 3)
        assert local(slots) == ["2026-01-31 09:00", "2026-02-07 09:00", "2026-02-14 09:00"]

    def test_monthly_on_the_31st_takes_the_last_day_of_short_months(self):
        slots = table("monthly").upcoming(START, 5)
        days = [slot.astimezone(MOSCOW).strftime("%m-%d") for slot in slots]
        assert days == ["01-31", "02-28", "03-31", "04-30", "05-31"]

    def test_monthly_in_a_leap_year(self):
        start = datetime(2028, 1, 30, 9, tzinfo=MOSCOW)
        days = [s.astimezone(MOSCOW).day for s in table("monthly", start).upcoming(start, 3)]
        assert days == [30, 29, 30]

    def test_once_has_one_slot(self):
        assert table("once").upcoming(START, 5) == [START]


class TestSummerTime:
    def test_wall_clock_stays_through_both_changes(self):
        for day in (
            datetime(2026, 3, 28, 9, tzinfo=BERLIN),
            datetime(2026, 10, 24, 9, tzinfo=BERLIN),
        ):
            slots = table("daily", day, BERLIN).upcoming(day, 3)
            assert [slot.astimezone(BERLIN).hour for slot in slots] == [9, 9, 9]
            assert slots[2] - slots[0] != timedelta(days=2)

    def test_a_time_that_is_jumped_over_still_comes_once(self):
        start = datetime(2026, 3, 28, 2, 30, tzinfo=BERLIN)
        slots = table("daily", start, BERLIN).upcoming(start, 3)
        assert local(slots, BERLIN) == ["2026-03-28 02:30", "2026-03-29 03:30", "2026-03-30 02:30"]

    def test_a_time_that_comes_twice_counts_once(self):
        start = datetime(2026, 10, 24, 2, 30, tzinfo=BERLIN)
        slots = table("daily", start, BERLIN).upcoming(start, 3)
        assert len(set(slots)) == 3
        assert slots[1].astimezone(UTC).hour == 0


class TestNextRun:
    def test_before_the_start(self):
        now = START - timedelta(days=3)
        assert table("daily").next_run(now, after=None) == START

    def test_missed_slots_are_not_replayed(self):
        now = START + timedelta(days=5, hours=2)
        due = table("daily").next_run(now, after=START)
        assert local([due]) == ["2026-02-05 09:00"]

    def test_a_slot_that_ran_does_not_run_again(self):
        now = START + timedelta(hours=2)
        assert local([table("daily").next_run(now, after=START)]) == ["2026-02-01 09:00"]
        assert table("once").next_run(now, after=START) is None

    def test_once_runs_late_but_runs(self):
        assert table("once").next_run(START + timedelta(days=30), after=None) == START

    def test_nothing_after_the_end(self):
        end = START + timedelta(days=2)
        assert table("daily", ends_at=end).next_run(end, after=None) is None
        assert table("daily", ends_at=end).upcoming(START, 9) == [
            START,
            START + timedelta(days=1),
        ]

    def test_later_start_arms_a_mailing_again(self):
        moved = table("once", START + timedelta(days=1))
        assert moved.next_run(START, after=START) == START + timedelta(days=1)

    def test_another_time_zone_does_not_run_the_same_day_twice(self):
        start = datetime(2026, 1, 5, 7, 0, tzinfo=UTC)
        ran = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)  # 8:00 in Berlin, as in January
        assert Timetable(start, "daily", BERLIN).slot(177) == ran
        moved = Timetable(start, "daily", MOSCOW).next_run(ran + timedelta(hours=3), after=ran)
        assert moved == datetime(2026, 7, 2, 7, 0, tzinfo=UTC)

    def test_earlier_start_does_not(self):
        moved = table("once", START - timedelta(hours=1))
        assert moved.next_run(START, after=START) is None


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1))


@given(moments, moments, st.sampled_from(["daily", "weekly", "monthly"]))
def test_number_at_is_the_latest_slot_not_after(start, moment, periodicity):
    times = table(periodicity, start.replace(tzinfo=BERLIN), BERLIN)
    moment = moment.replace(tzinfo=UTC)
    number = times.number_at(moment)
    if number >= 0:
        assert times.slot(number) <= moment
    assert times.slot(number + 1) > moment


def test_add_months_crosses_years():
    assert add_months(datetime(2026, 11, 30), 3) == datetime(2027, 2, 28)
