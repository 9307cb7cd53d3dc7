"""Project: the base of all searches: a KerasTuner project with a folder, a lock and a journal."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner

from kspike import _lock, _names
from kspike._files import write_text
from kspike.config import SpikformerConfig
from kspike.tuners.engine import Candidate, Journal, SearchState
from kspike.tuners.engine.fingerprint import refuse
from kspike.tuners.engine.heartbeat import SilenceTimeout, beating
from kspike.tuners.project import folder, handshake

#: A project's name where none is given.
NAME = "search"
#: What can only be a mistake in code, ours or of a user's objective: it stops the search instead of failing a network.
MISTAKES = (TypeError, AttributeError, NameError, LookupError, AssertionError, ImportError, NotImplementedError)


def check_name(project_name: str | None) -> None:
    """Raises ValueError for a project name that is no plain file name; None is the default name."""
    if project_name is not None:
        _names.check(project_name, "project_name")


class Project:
    """Mixed into a `keras_tuner.Tuner` whose oracle keeps a journal. Subclasses implement `best_candidates`.

    The tuner sets `_oracle` (on a worker, `self.oracle` is a client of the chief's), `report_level`, and calls
    `_open_project` at the end of its constructor where it is no worker.
    """

    _oracle: Any
    report_level: int
    tuner_id: str
    _waits: int = 0
    _holding: bool = False

    def best_candidates(self, num: int | None = None) -> list[Candidate]:
        """Candidates, best first."""
        raise NotImplementedError

    def get_best_configs(self, num: int = 1) -> list[SpikformerConfig]:
        """The best networks as configs, best first: each builds by `kspike.Spikformer(config)`."""
        return [c.config for c in self.best_candidates(num)]

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Hyperparameters of the best; `tuner.hypermodel.build(hp)` gives an untrained network of them."""
        return [self._oracle.hyperparameters_of(c.genome) for c in self.best_candidates(num_trials)]

    @property
    def state(self) -> SearchState:
        """The state of the search, up to date with other processes that write the journal."""
        journal = self._oracle.state.journal
        if not self._holding and journal.grown() and self._oracle.refresh():
            self._renew()
        return self._oracle.state

    def report(self, path: str | Path | None = None, num_trials: int = 10) -> Path:
        """Writes a web page of the search so far: its history, the front, genes, the best networks.

        Args:
            path: the file; report.html in the project's folder where None.
            num_trials: how many of the best are shown.
        """
        return write_text(self._folder / "report.html" if path is None else path, self._page(num_trials))

    def _page(self, num_trials: int) -> str:
        """The search as a page."""
        raise NotImplementedError

    def _run(self) -> None:
        """KerasTuner's loop: the chief hands out trials, all other processes run them."""
        if self._is_worker():  # type: ignore[attr-defined]
            self._greet()
        elif "KERASTUNER_ORACLE_IP" in os.environ:
            handshake.check_free()
        super().search()  # type: ignore[misc]
        # an error that the oracle stored while KerasTuner's lock was held
        error = self._oracle.error
        if error is not None:
            raise error if isinstance(error, ValueError) else keras_tuner.errors.FatalError(str(error)) from error

    # -- KerasTuner's loop --------------------------------------------------------------------------------------

    def pre_create_trial(self) -> None:
        """Waits a little where the last request was answered "nothing yet": the base class would ask without pause."""
        if self._waits:
            time.sleep(min(0.02 * 2 ** min(self._waits, 6), 1.0))
        self._waits += 1

    def on_trial_begin(self, trial: Any) -> None:
        """Notes that there is work."""
        self._waits = 0

    def _greet(self) -> None:
        """Checks that the chief is this project's, and sends its token with every request."""
        self.tuner_id = handshake.greet(self.oracle, self.tuner_id, self._folder)  # type: ignore[attr-defined]

    # -- the folder ---------------------------------------------------------------------------------------------

    def _open_project(self) -> None:
        """Reads an existing journal; starts a new one, unless another process is just doing so."""
        self._oracle.reload()
        if self._oracle.state.journal.empty():
            with contextlib.suppress(_lock.Held), self._held():
                pass

    def _begin_anew(self, directory: str | Path | None, project_name: str | None) -> None:
        """Removes what an earlier search wrote; KerasTuner would remove the folder with everything in it."""
        if not self._is_worker():  # type: ignore[attr-defined]  # which must not remove what the chief has begun
            folder.forget(Path(directory or ".") / (project_name or NAME))

    @property
    def _folder(self) -> Path:
        return Path(self.project_dir)  # type: ignore[attr-defined]

    def _records(self) -> list[dict[str, Any]]:
        return Journal(self._folder / "journal.jsonl").read()

    def _record(self, kind: str) -> dict[str, Any] | None:
        return next((r for r in reversed(self._records()) if r.get("type") == kind), None)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Locks the project for this process while the block runs. A worker locks nothing.

        What another process or object has written since this one read the journal is read first.

        Raises:
            ValueError: another holds it, and who.
        """
        if self._is_worker():  # type: ignore[attr-defined]
            yield
            return
        with _lock.held(self._folder, "search") as token:
            if self._oracle.refresh():
                self._renew()
            self._oracle.error = None
            self._oracle.begin()
            self._oracle.write_files()
            self._holding, self._oracle.token = True, token
            try:
                yield
            finally:
                self._holding, self._oracle.token = False, None

    def _renew(self) -> None:
        """Drops what was derived from an earlier state of the journal."""

    @property
    def _heartbeat_file(self) -> Path:
        return self._folder / "chief.alive"

    def _at_work(self) -> contextlib.AbstractContextManager:
        """A heartbeat for waiting workers while the chief works; none where there are no workers."""
        return beating(self._heartbeat_file) if "KERASTUNER_ORACLE_IP" in os.environ else contextlib.nullcontext()

    def _wait_for(self, kind: str) -> dict[str, Any]:
        """Waits until the chief has written a record; workers share its folder.

        Raises:
            keras_tuner.errors.FatalError: the chief gave no sign of life for `lease` seconds.
        """
        timeout = SilenceTimeout(self._heartbeat_file, self._oracle.lease)
        said = False
        while (record := self._record(kind)) is None:
            if not said:
                self._say(f"waiting for the chief's {kind} in {self._folder}")
            said = True
            if timeout.ended():
                raise keras_tuner.errors.FatalError(
                    f"The chief has given no sign of life in {self._folder} for {self._oracle.lease:g} seconds, and "
                    f"its {kind} is not there: it has failed, or was never started. See its output; start all again."
                )
            time.sleep(1.0)
        return record

    def _write(self, record: dict[str, Any]) -> None:
        self._oracle.begin().append(record)

    def _use(self, used: dict[str, Any]) -> None:
        """Records what the results are measured with (data, weights, convention); refuses to go on with others."""
        before = self._record("used")
        if before is None:
            self._write({"type": "used", **used})
        else:
            # a key that an older project did not record is not compared
            now = {name: value for name, value in used.items() if name in before}
            refuse({name: value for name, value in before.items() if name != "type"}, now, self._folder)

    def _say(self, line: str) -> None:
        if self.report_level:
            print(line, flush=True)

    def save(self) -> None:
        """Writes the oracle's file; the tuner has no state of its own."""
        if not self._is_worker():  # type: ignore[attr-defined]
            self._oracle.save()

    def reload(self) -> None:
        """Does nothing: the constructor resumes from the journal."""
