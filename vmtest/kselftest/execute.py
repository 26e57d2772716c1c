# SPDX-License-Identifier: GPL-2.0-only
"""Runs a collection's tests one by one in a guest, as kselftest's own runner does; a lost guest is one result."""

from __future__ import annotations

import platform
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..config import GuestConfig
from ..errors import CommandTimeout, GuestLost
from ..guest import Guest
from ..results import ktap
from ..results.outcome import COMMAND_TIMEOUT, FAIL, PASS, SKIP, Outcome
from .collection import Collection

#: kselftest's exit code of a test that cannot run here.
SKIP_CODE = 4
PLACE = "/tmp/kselftest"
#: An emulated processor is some times slower than what the settings were written for.
EMULATED_FACTOR = 5.0
TAIL_LINES = 20

Report = Callable[[Outcome], object]


@dataclass
class _End:
    """How one test ended; ``verdict`` is empty where the exit code decides, ``excerpt`` None where the output does."""

    output: str = ""
    code: int | None = None
    verdict: str = ""
    message: str = ""
    excerpt: str | None = None


class Runner:
    """The tests of one collection in guests of one configuration.

    Args:
        collection: built.
        config: of the guest; its kernel is what is tested.
        kernel: what the kernel is called in the results.
        timeout: seconds a test may take instead of those of its settings.
        fresh: a guest for each test, so that none finds what another left.
        directory: where what the tests printed is kept, and the console of a lost guest; None for nowhere.
    """

    def __init__(
        self,
        collection: Collection,
        config: GuestConfig,
        kernel: str,
        *,
        timeout: float | None = None,
        fresh: bool = False,
        directory: Path | None = None,
    ) -> None:
        self._collection = collection
        self._config = config
        self._kernel = kernel
        self._timeout = timeout
        self._fresh = fresh
        self._directory = directory
        self._guest: Guest | None = None
        self._has: dict[str, bool] = {}

    def run(self, tests: Sequence[str], report: Report) -> list[Outcome]:
        """Runs these tests in this order; ``report`` is called with each outcome.

        Raises:
            GuestLost: a guest did not even boot.
            MachineLacks: the host cannot run one.
        """
        outcomes = []
        try:
            for test in tests:
                outcome = self._one(test)
                outcomes.append(outcome)
                report(outcome)
                if self._fresh:
                    self._close()
        finally:
            self._close()
        return outcomes

    def limit(self, accelerator: str) -> float | None:
        """Seconds a test may take on that accelerator, None for no limit."""
        if self._timeout is not None:
            return self._timeout
        return self._collection.timeout * (EMULATED_FACTOR if accelerator == "tcg" else 1.0) or None

    def _close(self) -> None:
        guest, self._guest = self._guest, None
        if guest:
            guest.close()

    def _staged(self) -> Guest:
        if self._guest is None:
            self._guest = Guest(self._config, artifacts=self._directory)
            self._guest.start()
            self._guest.put(self._collection.root, PLACE, exclude=())
        return self._guest

    def _one(self, test: str) -> Outcome:
        guest = self._staged()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        begun = time.monotonic()
        words, why = self._command(guest, test)
        end = self._perform(guest, words) if words else _End(verdict=SKIP, message=why)
        parsed = ktap.parse(end.output)
        if end.code is not None and not end.verdict:
            end.verdict, end.message = verdict_of(end.code, end.output, parsed)
        if end.excerpt is None and end.verdict not in {PASS, SKIP}:
            end.excerpt = "\n".join(ktap.remarks(end.output)[-TAIL_LINES:])
        return Outcome(
            name=test,
            kernel=self._kernel,
            machine=guest.accelerator,
            workload=f"kselftest.{self._collection.name}",
            test=test,
            verdict=end.verdict,
            message=end.message,
            exit_code=end.code,
            excerpt=end.excerpt or "",
            subtests=parsed.subtests,
            timings={"command": time.monotonic() - begun},
            started=started,
            host=platform.node(),
            directory=self._keep(test, end.output),
        )

    def _perform(self, guest: Guest, words: list[str]) -> _End:
        limit = self.limit(guest.accelerator)
        # One stream, as on a terminal.
        line = f"cd {shlex.quote(f'{PLACE}/{self._collection.name}')} && exec {shlex.join(words)} 2>&1"
        end = _End()
        try:
            result = guest.run(line, timeout=limit or 1e6)
            end.output, end.code = result.text, result.returncode
            guest.settle()
        except CommandTimeout as error:
            if end.code is None:
                end.output = error.stdout.decode(errors="replace")
                end.verdict, end.message = COMMAND_TIMEOUT, f"{limit:g} s"
        except GuestLost as error:
            end.verdict, end.message, end.excerpt = error.verdict.value, error.summary, error.excerpt
            self._close()
        return end

    def _command(self, guest: Guest, test: str) -> tuple[list[str], str]:
        """The words that start the test; or none, and why it cannot."""
        file = self._collection.directory / test
        if not file.is_file():
            return [], "its file was not built"
        with file.open("rb") as stream:
            first = stream.readline(200).decode(errors="replace")
        interpreter = first[2:].split() if first.startswith("#!") else []
        if interpreter:
            name = interpreter[-1] if interpreter[0].endswith("/env") else interpreter[0]
            if name not in self._has:
                self._has[name] = guest.run(["sh", "-c", f"command -v {shlex.quote(name)}"]).returncode == 0
            if not self._has[name]:
                return [], f"the guest has no {name}"
        if file.stat().st_mode & 0o111:
            return [f"./{test}"], ""
        return ([*interpreter, f"./{test}"], "") if interpreter else ([], "its file is not executable")

    def _keep(self, test: str, output: str) -> str:
        if self._directory is None:
            return ""
        place = self._directory / test
        place.mkdir(parents=True, exist_ok=True)
        (place / "stdout").write_text(output, encoding="utf-8")
        return test


def verdict_of(code: int, output: str, parsed: ktap.Parsed) -> tuple[str, str]:
    """Verdict and message of a test that ended: by its exit code, and by its own KTAP where that has more."""
    said = [line.strip().removeprefix("# ") for line in output.splitlines() if line.strip()]
    if code == SKIP_CODE:
        return SKIP, said[-1] if said else "no reason given"
    if code:
        return FAIL, f"exit code {code}"
    if parsed.failed:
        return FAIL, f"exit code 0, but not ok: {', '.join(subtest.name for subtest in parsed.failed)}"
    if parsed.problems:
        return FAIL, f"exit code 0, but {parsed.problems[0]}"
    if parsed.subtests and all(subtest.status == "skip" for subtest in parsed.subtests):
        return SKIP, parsed.subtests[0].message or "all its parts were skipped"
    return PASS, ""
