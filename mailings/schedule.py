"""Which moment comes next. Pure functions of values: no database, no clock of their own."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

STEP_DAYS = {"daily": 1, "weekly": 7}
# A slot this close to the last one that ran is the same one, moved: by another time zone of the
# owner, or by an edited start.
HALF_A_PERIOD = {
    "once": timedelta(0),
    "daily": timedelta(hours=12),
    "weekly": timedelta(days=3.5),
    "monthly": timedelta(days=14),
}


@dataclass(frozen=True)
class Timetable:
    """The slots of a mailing: `starts_at` and its repetitions before `ends_at`.

    Slots keep the wall-clock time of `zone` through changes to and from summer time. A time
    that the clocks jump over is taken as if they had not jumped; of a time that comes twice,
    the first counts (PEP 495, fold=0). Monthly slots keep the day of the first one, or the last
    day of a shorter month.
    """

    starts_at: datetime
    periodicity: str
    zone: ZoneInfo
    ends_at: datetime | None = None

    def slot(self, number: int) -> datetime:
        """Return slot `number`, the first being 0, in UTC."""
        if number == 0:
            return self.starts_at.astimezone(UTC)
        first = self.starts_at.astimezone(self.zone).replace(tzinfo=None)
        if self.periodicity == "monthly":
            local = add_months(first, number)
        else:
            local = first + timedelta(days=number * STEP_DAYS[self.periodicity])
        return local.replace(tzinfo=self.zone).astimezone(UTC)

    def number_at(self, moment: datetime) -> int:
        """Return the number of the latest slot not after `moment`, or -1 before the first."""
        if moment < self.starts_at:
            return -1
        if self.periodicity == "once":
            return 0
        first, local = (m.astimezone(self.zone) for m in (self.starts_at, moment))
        if self.periodicity == "monthly":
            number = (local.year - first.year) * 12 + local.month - first.month
        else:
            number = (local.date() - first.date()).days // STEP_DAYS[self.periodicity]
        # The estimate counts calendar days or months; the time of day decides the rest.
        while self.slot(number + 1) <= moment:
            number += 1
        while number > 0 and self.slot(number) > moment:
            number -= 1
        return number

    def next_run(self, now: datetime, *, after: datetime | None) -> datetime | None:
        """Return the slot to run next, or None when there is none left.

        That is the latest slot that has come, unless it or a later one has run already
        (`after` is the last slot that ran): missed slots before it are not replayed. Otherwise
        it is the first slot ahead.
        """
        if self.ends_at is not None and now >= self.ends_at:
            return None
        number = self.number_at(now)
        taken = after and after + HALF_A_PERIOD[self.periodicity]
        if number >= 0 and (taken is None or self.slot(number) > taken):
            return self.slot(number)
        return self.first_after(max(now, taken) if taken else now)

    def first_after(self, moment: datetime) -> datetime | None:
        """Return the first slot later than `moment` and before the end, or None."""
        number = self.number_at(moment) + 1
        if self.periodicity == "once" and number > 0:
            return None
        slot = self.slot(number)
        return None if self.ends_at is not None and slot >= self.ends_at else slot

    def upcoming(self, first: datetime, count: int) -> list[datetime]:
        """Return up to `count` slots, beginning with `first`."""
        slots: list[datetime] = []
        slot: datetime | None = first
        while slot is not None and len(slots) < count:
            slots.append(slot)
            slot = self.first_after(slot)
        return slots


def add_months(moment: datetime, months: int) -> datetime:
    """Return `moment` some months later, on the last day where the month is too short."""
    years, month = divmod(moment.month - 1 + months, 12)
    year, month = moment.year + years, month + 1
    day = min(moment.day, calendar.monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)
