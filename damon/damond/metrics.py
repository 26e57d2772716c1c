# SPDX-License-Identifier: GPL-2.0-only
"""``damond --metrics``: snapshots as metrics for Prometheus, by prometheus-client (the extra ``metrics``).

Names are a stable interface: ``docs/reference/compatibility.md``.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from damon.damond.endpoint import url
from damon.damond.http import HttpServer
from damon.damond.snapshot import Context, Goal, Kdamond, Scheme, Snapshot
from damon.errors import MissingCapability

try:
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import make_wsgi_app
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise MissingCapability(
        "package: prometheus-client: is not installed; install it with: pip install 'pydamon[metrics]'"
    ) from error

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from damon.damond.workers import Workers

log = logging.getLogger("damon.damond")
T = TypeVar("T")
#: A worker is asked at most so often, however many clients scrape.
FRESH_S: Final = 1.0
PATH: Final = "/metrics"
_OPEN_METRICS: Final = "application/openmetrics-text"
_Family = GaugeMetricFamily | CounterMetricFamily


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One metric. ``name`` has no ``_total``; ``field`` is the kernel's; ``value`` may give None: there is none."""

    name: str
    text: str
    field: str
    value: Callable[[T], float | None]
    counter: bool = False

    def family(self, labels: Sequence[str]) -> _Family:
        text = f"{self.text} ({self.field})." if self.field else f"{self.text}."
        return (CounterMetricFamily if self.counter else GaugeMetricFamily)(self.name, text, labels=labels)


def _us(us: int) -> float:
    return us / 1e6


_SERVICE: Final[Sequence[Kind[Snapshot]]] = (
    Kind("damon_clock_seconds", "Time of the machine, virtual on a simulated one", "", lambda one: one.now_ns / 1e9),
    Kind("damon_memory_free_bytes", "Free memory of the machine", "", lambda one: one.free_bytes),
    Kind("damon_memory_total_bytes", "Memory of the machine", "", lambda one: one.total_bytes),
)
_KDAMONDS: Final[Sequence[Kind[Kdamond]]] = (
    Kind("damon_kdamond_up", "1 while the worker runs", "state", lambda one: one.running),
    Kind("damon_kdamond_cpu_seconds", "Processor time of the worker", "", lambda one: one.cpu_s, counter=True),
)
_CONTEXTS: Final[Sequence[Kind[Context]]] = (
    Kind("damon_context_sample_interval_seconds", "Sampling interval", "sample_us", lambda one: _us(one.sample_us)),
    Kind("damon_context_aggr_interval_seconds", "Aggregation interval", "aggr_us", lambda one: _us(one.aggr_us)),
    Kind(
        "damon_context_ops_update_interval_seconds", "Interval between updates of the regions to the mappings",
        "update_us", lambda one: _us(one.update_us),
    ),
    Kind("damon_context_regions", "Regions", "nr_regions", lambda one: one.nr_regions),
    Kind("damon_context_min_regions", "Least number of regions", "nr_regions/min", lambda one: one.min_nr_regions),
    Kind("damon_context_max_regions", "Largest number of regions", "nr_regions/max", lambda one: one.max_nr_regions),
    Kind("damon_context_targets", "Targets", "nr_targets", lambda one: len(one.targets)),
    Kind("damon_context_schemes", "Schemes, those without metrics included", "nr_schemes", lambda one: one.nr_schemes),
    Kind("damon_context_paused", "1 while nothing is sampled or applied", "pause", lambda one: one.pause),
    Kind(
        "damon_context_monitored_bytes", "Size of all regions", "damon_region.ar",
        lambda one: None if one.regions_age_s is None else one.monitored_sz * one.addr_unit,
    ),
    Kind(
        "damon_context_working_set_bytes", "Size of the regions with an access in the last aggregation interval",
        "nr_accesses > 0", lambda one: None if one.regions_age_s is None else one.working_set_sz * one.addr_unit,
    ),
    Kind(
        "damon_context_regions_age_seconds", "Real time since the worker gave the regions of the two sizes", "",
        lambda one: one.regions_age_s,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _InContext:
    """A scheme with what its sizes count."""

    scheme: Scheme
    addr_unit: int

    def size(self, size: int) -> int:
        return size * self.addr_unit

    def effective(self) -> int | None:
        quota = self.scheme.quota
        return self.size(quota.esz) if quota.is_set else None

    def score(self) -> float | None:
        score_bp = self.scheme.quota.score_bp
        return score_bp / 1e4 if score_bp is not None else None


def _count(name: str, text: str, field: str, value: Callable[[_InContext], int]) -> Kind[_InContext]:
    return Kind(f"damon_scheme_{name}", text, field, value, counter=True)


_SCHEMES: Final[Sequence[Kind[_InContext]]] = (
    _count("tried_regions", "Regions that the scheme tried", "nr_tried", lambda one: one.scheme.stat.nr_tried),
    _count("tried_bytes", "Size of these regions", "sz_tried", lambda one: one.size(one.scheme.stat.sz_tried)),
    _count("applied_regions", "Regions acted on", "nr_applied", lambda one: one.scheme.stat.nr_applied),
    _count("applied_bytes", "Memory acted on", "sz_applied", lambda one: one.size(one.scheme.stat.sz_applied)),
    _count(
        "ops_filter_passed_bytes", "Memory that passed the filters of the operations layer", "sz_ops_filter_passed",
        lambda one: one.size(one.scheme.stat.sz_ops_filter_passed),
    ),
    _count(
        "quota_exceeds", "Windows in which the quota was used up", "qt_exceeds", lambda one: one.scheme.stat.qt_exceeds
    ),
    _count(
        "snapshots", "Passes of the scheme over the regions", "nr_snapshots", lambda one: one.scheme.stat.nr_snapshots
    ),
    Kind(
        "damon_scheme_active", "1 unless watermarks keep the scheme inactive", "wmarks.activated",
        lambda one: one.scheme.wmarks.activated,
    ),
    Kind(
        "damon_scheme_quota_bytes", "Limit of a window; none: not set", "quotas/bytes",
        lambda one: one.size(one.scheme.quota.sz) or None,
    ),
    Kind(
        "damon_scheme_quota_seconds", "Limit of time in a window; none: not set", "quotas/ms",
        lambda one: one.scheme.quota.ms / 1e3 or None,
    ),
    Kind(
        "damon_scheme_quota_reset_interval_seconds", "Window of the quota", "quotas/reset_interval_ms",
        lambda one: one.scheme.quota.reset_interval / 1e3 if one.scheme.quota.is_set else None,
    ),
    Kind(
        "damon_scheme_quota_effective_bytes", "Limit in force, after time and goals; none: no limit",
        "quotas/effective_bytes", lambda one: one.effective(),
    ),
    Kind(
        "damon_scheme_quota_charged_bytes", "What this window has used of it", "quota.charged_sz",
        lambda one: one.size(one.scheme.quota.charged_sz) if one.scheme.quota.is_set else None,
    ),
    Kind(
        "damon_scheme_quota_score_ratio", "Best score of the goals, which the quota follows; 1: met", "",
        lambda one: one.score(),
    ),
)  # fmt: skip
_GOALS: Final[Sequence[Kind[Goal]]] = (
    Kind(
        "damon_scheme_quota_goal_target_value", "Wanted value, in the unit of the metric", "goals/target_value",
        lambda one: one.target_value,
    ),
    Kind(
        "damon_scheme_quota_goal_current_value", "Last measured value, in the unit of the metric",
        "goals/current_value", lambda one: one.current_value,
    ),
    Kind(
        "damon_scheme_quota_goal_score_ratio", "Last measured value in parts of the wanted one", "",
        lambda one: one.score_bp / 1e4,
    ),
)  # fmt: skip
_OF_KDAMOND: Final = ("kdamond",)
_OF_CONTEXT: Final = (*_OF_KDAMOND, "context")
_OF_SCHEME: Final = (*_OF_CONTEXT, "scheme", "action")
_OF_GOAL: Final = (*_OF_SCHEME, "goal", "metric", "nid")


def _filled(
    kinds: Sequence[Kind[T]], labels: Sequence[str], subjects: Sequence[tuple[Sequence[str], T]]
) -> Iterator[_Family]:
    for kind in kinds:
        family = kind.family(labels)
        for values, subject in subjects:
            value = kind.value(subject)
            if value is not None:
                family.add_metric(values, float(value))
        yield family


def families(snapshot: Snapshot | None) -> Iterator[Metric]:
    """All metrics of ``snapshot``; without one, all without a value."""
    about = InfoMetricFamily("damon_build", "Version of damond, whose DAMON its engine is, and its machine.")
    kdamonds = snapshot.kdamonds if snapshot is not None else ()
    if snapshot is not None:
        names = ("version", "engine", "engine_version", "machine")
        about.add_metric((), {name: getattr(snapshot, name) for name in names})
    contexts = [
        ((kdamond.name, str(index)), context) for kdamond in kdamonds for index, context in enumerate(kdamond.contexts)
    ]
    schemes = [
        ((*labels, str(index), scheme.action), _InContext(scheme, context.addr_unit))
        for labels, context in contexts
        for index, scheme in enumerate(context.schemes)
    ]
    goals = [
        ((*labels, str(index), goal.metric, str(goal.nid)), goal)
        for labels, one in schemes
        for index, goal in enumerate(one.scheme.quota.goals)
    ]
    yield about
    yield from _filled(_SERVICE, (), [((), snapshot)] if snapshot is not None else [])
    yield from _filled(_KDAMONDS, _OF_KDAMOND, [((kdamond.name,), kdamond) for kdamond in kdamonds])
    yield from _filled(_CONTEXTS, _OF_CONTEXT, contexts)
    yield from _filled(_SCHEMES, _OF_SCHEME, schemes)
    yield from _filled(_GOALS, _OF_GOAL, goals)


class _Snapshots(Collector):
    """Collects from a new snapshot each time."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take

    def collect(self) -> Iterable[Metric]:
        return families(self._take())

    def describe(self) -> Iterable[Metric]:
        return families(None)


def application(take: Callable[[], Snapshot]) -> WSGIApplication:
    """Metrics at ``/metrics``, in the formats that prometheus-client has; 404 elsewhere."""
    registry = CollectorRegistry()
    registry.register(_Snapshots(take))
    ProcessCollector(registry=registry)
    metrics = make_wsgi_app(registry)

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH:
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"metrics are at {PATH}\n".encode()]
        # prometheus-client does not take every version that a client may ask for, and repeats it in its answer.
        wanted = _OPEN_METRICS in environ.pop("HTTP_ACCEPT", "")
        environ["HTTP_ACCEPT"] = f"{_OPEN_METRICS}; version=1.0.0" if wanted else ""
        try:
            found: Iterable[bytes] = metrics(environ, start_response)
        except Exception:
            log.exception("metrics")
            start_response("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"an unexpected error; read the log of damond\n"]
        return found

    return serve


class MetricsServer:
    """Serves the metrics of ``workers`` at ``bound`` until ``close()``. ``url``: for people and scrapers."""

    def __init__(self, bound: socket.socket, workers: Workers) -> None:
        self.url = url(bound, PATH)
        self._server = HttpServer(bound, application(lambda: workers.take(fresh_s=FRESH_S)), "damond-metrics")

    def close(self) -> None:
        self._server.close()
