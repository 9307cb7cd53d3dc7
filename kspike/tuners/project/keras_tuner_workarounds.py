"""Works around faults of KerasTuner 1.4.8 that a long search meets; the code refers to them by number.

1. `seed=0` is replaced by a random seed: set again after the constructor.
2. Its `synchronized` has no try/finally: an exception under the lock leaves it held, and the next thread hangs.
   `populate_space` therefore never raises (the error is kept in `error` and the search stops), and the other
   locked calls let their exceptions out only after the lock is released.
3. Three failed trials in a row raise RuntimeError and end the search: the limit is lifted.
4. Files are written in place: a process killed in mid-write leaves an oracle.json or trial.json that no longer parses.
   Written aside and renamed here.
5. A SIGKILL between trial.json and oracle.json leaves a trial RUNNING for ever, and reloading trusts both files:
   subclasses rebuild everything from a journal of their own in `rebuild`, and `reload` reads no file of KerasTuner's.
6. Trial tables are printed for every trial: quiet unless asked for.
7. A worker that dies keeps its trial for ever, so the search never ends, and its name, so the chief never exits: one
   that was not heard of for `lease` seconds loses both. Should it answer after all, the first result counts.

Elsewhere: NumPy scalars cannot be stored (kspike.tuners.hypermodel gives Python numbers); an IDLE oracle is asked again
at once, without a pause (`EvolutionSearch.pre_create_trial` sleeps); floats reach the chief as float32
(`hypermodel.genome_of` and `SearchState.tell`); building the hypermodel to find its hyperparameters costs a network
each time (`EvolutionSearch` declares them).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import keras_tuner

from kspike._files import write_text


class SteadyOracle(keras_tuner.Oracle):
    """An Oracle that survives what a long search meets. Subclasses give `propose` and `rebuild`.

    Args:
        seed: any whole number, 0 included.
        lease: seconds after which a silent worker counts as dead; longer than any evaluation takes.
        **kwargs: as of keras_tuner.Oracle.
    """

    def __init__(self, *, seed: int = 0, lease: float = 3600.0, **kwargs: Any) -> None:
        if isinstance(lease, bool) or not hasattr(lease, "__float__") or not float(lease) > 0:
            raise ValueError(f"lease must be a number of seconds above 0, got {lease!r}.")
        self.lease = float(lease)
        self._heard: dict[str, float] = {}
        super().__init__(seed=seed, max_consecutive_failed_trials=10**9, **kwargs)  # fault 3
        self.seed = self._seed_state = int(seed)  # fault 1
        self.verbose = 0  # fault 6
        self.error: Exception | None = None

    # -- for subclasses ----------------------------------------------------------------------------------------

    def propose(self, number: int) -> dict[str, Any] | None:
        """Hyperparameter values of trial `number`; None if others must end first; raises StopIteration at the end."""
        raise NotImplementedError

    def rebuild(self) -> None:
        """Sets the oracle's trials from the subclass's own records."""
        raise NotImplementedError

    # -- KerasTuner's interface ----------------------------------------------------------------------------------

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Values for a trial, or the status that says why there are none; never raises (fault 2)."""
        try:
            values = self.propose(int(trial_id))
        except StopIteration:
            return {"status": "STOPPED"}
        except Exception as error:
            self.error = error
            return {"status": "STOPPED"}
        return {"status": "IDLE"} if values is None else {"status": "RUNNING", "values": values}

    def create_trial(self, tuner_id: str) -> Any:
        """As the base class, after what dead workers held has been taken back."""
        self._heard[tuner_id] = time.monotonic()
        self._locked(self._forget_dead)
        return self._locked(super().create_trial, tuner_id)

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """As the base class, with the lock released before an exception leaves."""
        return self._locked(super().update_trial, trial_id, metrics, step=step)

    def end_trial(self, trial: Any) -> None:
        """As the base class, with the lock released before an exception leaves."""
        self._locked(super().end_trial, trial)

    @property
    def tuner_ids(self) -> set[str]:
        """Workers at work; the chief waits until there are none, so it must not wait for the dead (fault 7)."""
        self._forget_dead()
        return self._tuner_ids

    @tuner_ids.setter
    def tuner_ids(self, names: set[str]) -> None:
        self._tuner_ids = names

    def _forget_dead(self) -> None:
        now = time.monotonic()
        for name in [n for n in self._tuner_ids if now - self._heard.get(n, now) > self.lease]:
            self._tuner_ids.discard(name)
            trial = self.ongoing_trials.pop(name, None)
            if trial is not None:
                self._retry_queue.append(trial.trial_id)

    def _locked(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        result, error = self._kept(call, *args, **kwargs)
        if error is not None:
            raise error
        return result

    @keras_tuner.synchronized
    def _kept(self, call: Any, *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        # the same thread may take the lock twice, so the base class's own locking nests in this one
        try:
            return call(*args, **kwargs), None
        except Exception as error:
            return None, error

    def save(self) -> None:
        """Writes oracle.json aside, then renames it (fault 4)."""
        write_text(Path(self._project_dir) / "oracle.json", json.dumps(self.get_state()))

    def _save_trial(self, trial: Any) -> None:
        """Writes a trial's trial.json aside, then renames it (fault 4)."""
        write_text(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()))

    def reload(self) -> None:
        """Rebuilds the oracle from the subclass's records, whatever KerasTuner's files say (fault 5)."""
        self.rebuild()
