# SPDX-License-Identifier: GPL-2.0-only
"""The tick of a kernel: jiffies, the coarse clock, and when a sleep ends.

Linux counts time in ticks where it need not be exact. ``jiffies`` is their number, the coarse clock is the time of the
last one, and a sleep of four ticks or more ends at one (``kdamond_usleep()`` and ``include/linux/delay.h`` of 7.x). All
here is arithmetic on a machine's time, without state.
"""

from __future__ import annotations

from typing import Final

from damon.errors import InvalidInput
from damon.model.checks import shown

NS_PER_S: Final = 10**9
#: Rates that a kernel can be configured with (``kernel/Kconfig.hz``); 0 is exact time.
RATES: Final = (0, 100, 250, 300, 1000)
#: A window or timeout that never ends.
MAX_JIFFY_OFFSET: Final = (2**63 - 1 >> 1) - 1

_MS: Final = 1_000_000
_EXACT_UPPER_US: Final = 20_000
_U32_MASK: Final = 2**32 - 1
_LEVEL_SHIFT: Final = 3  # each level of the timer wheel is eight times as coarse as the one below
_LEVEL_TICKS: Final = 63  # shorter timeouts are in the lowest level


class Ticks:
    """Time as a kernel with ``hz`` ticks a second sees it.

    Args:
        hz: one of ``RATES``. With 0 sleeps end and clocks read to the nanosecond, and a jiffy is a millisecond.
        late_ns: a worker's sleep ends so much later: until it gets a processor.

    Raises:
        InvalidInput: another rate.
    """

    __slots__ = ("_first", "hz", "late_ns", "tick_ns", "upper_us")

    def __init__(self, hz: int = 0, late_ns: int = 0) -> None:
        if type(hz) is not int or hz not in RATES:
            raise InvalidInput(f"machine.hz: {shown(hz)}: is not a rate of Linux; give 100, 250, 300 or 1000, or 0")
        self.hz: Final = hz
        self.late_ns: Final = late_ns
        #: The length of a jiffy (``TICK_NSEC``).
        self.tick_ns: Final = (NS_PER_S + hz // 2) // hz if hz else _MS
        #: Sleeps from here on are timeouts (``USLEEP_RANGE_UPPER_BOUND``, microseconds): they end at a tick, and early
        #: when their thread is asked to end.
        self.upper_us: Final = (self.tick_ns << 2) // 1000 if hz else _EXACT_UPPER_US
        self._first = (-300 * hz & _U32_MASK) or 1  # as after a boot; never 0, which stands for no time yet

    def jiffies(self, now_ns: int) -> int:
        """The number of ticks so far. At time 0 it is what it is when a kernel boots."""
        return self._first + now_ns // self.tick_ns

    def begin_ns(self, jiffies: int) -> int:
        """The time at which ``jiffies`` ticks have come."""
        return (jiffies - self._first) * self.tick_ns

    def coarse_ns(self, now_ns: int) -> int:
        """The time of the last tick (``ktime_get_coarse_ts64()``)."""
        return now_ns - now_ns % self.tick_ns if self.hz else now_ns

    def ms_to_jiffies(self, ms: int) -> int:
        """``msecs_to_jiffies()``: its argument has 32 bits, and half of them stand for "never"."""
        ms &= _U32_MASK
        if ms >> 31:
            return MAX_JIFFY_OFFSET
        return -(-ms * self.hz // 1000) if self.hz else ms

    def us_to_jiffies(self, us: int) -> int:
        """``usecs_to_jiffies()``, for arguments of any size."""
        return -(-us * (self.hz or 1000) // 1_000_000)

    def timeout_end_ns(self, now_ns: int, jiffies: int) -> int:
        """When ``schedule_timeout(jiffies)`` ends that begins now.

        It never is early: it ends at the tick after. Above 62 ticks the timer wheel is coarse, and rounds up further.
        """
        if not self.hz:
            return now_ns + jiffies * self.tick_ns
        shift = self._wheel_shift(jiffies)
        end = (self.jiffies(now_ns) + jiffies >> shift) + 1 << shift
        return self.begin_ns(end)

    @staticmethod
    def _wheel_shift(jiffies: int) -> int:
        shift = 0
        while jiffies >= _LEVEL_TICKS << shift:
            shift += _LEVEL_SHIFT
        return shift

    def timeout_ticks(self, us: int) -> tuple[int, int]:
        """The jiffies of a timeout of ``us``, and the power of two of jiffies that the timer wheel rounds it to."""
        jiffies = self.us_to_jiffies(us)
        return jiffies, self._wheel_shift(jiffies)

    def sleep_end_ns(self, now_ns: int, us: int) -> int:
        """When a worker's sleep of ``us`` ends that begins now (``kdamond_usleep()``).

        The kernel keeps 32 bits of a long one, so that one of 72 minutes takes 25 seconds. Here it takes 72 minutes.
        """
        if self.hz and us >= self.upper_us:
            return self.timeout_end_ns(now_ns, self.us_to_jiffies(us)) + self.late_ns
        return now_ns + us * 1000 + self.late_ns


#: The time of a machine without ticks.
EXACT: Final = Ticks()
