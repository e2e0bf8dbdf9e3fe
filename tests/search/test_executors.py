"""The contract of executors, and what the supervisor makes of their failures."""

import socket
from concurrent.futures import Future

import pytest

from sparse_search import records
from sparse_search.config import freeze
from sparse_search.errors import UserError
from sparse_search.search import executors
from sparse_search.search.journals import Journals
from sparse_search.search.supervisor import Search, perform
from sparse_search.search.worker import Job, JobFailed, WorkerDied
from sparse_search.testing import executors as contract
from sparse_search.testing.strategies import problem
from sparse_search.train.run import Chunk
from sparse_search.train.stopped import Stopped


@pytest.mark.parametrize("name", ["local", "their_executor:Threads"])
def test_contract_in_this_process(name, tmp_path):
    contract.check(name, tmp_path, kills=False)


@pytest.mark.parametrize("name", ["processes", "ray", "slurm"])
def test_contract(name, tmp_path):
    contract.check(name, tmp_path)


def test_a_ray_cluster_that_has_died_is_not_waited_for(tmp_path, monkeypatch):
    from sparse_search.search.executors.ray_ import _address_if_stale

    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert _address_if_stale() == {}  # there was none
    (tmp_path / "ray").mkdir()
    file = tmp_path / "ray" / "ray_current_cluster"
    with socket.create_server(("127.0.0.1", 0)) as alive:
        address = "{}:{}".format(*alive.getsockname())
        file.write_text(f"{address}\n")
        assert _address_if_stale() == {}
    for stale in (address, "nonsense", ""):
        file.write_text(stale)
        assert _address_if_stale() == {"address": "local"}


def test_what_cannot_be_had(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'processes'"):
        executors.check(freeze({"executor": "proceses"}))
    with pytest.raises(UserError, match="set how many"):
        executors.check(freeze({"executor": "slurm"}))
    wrong = {"executor": "slurm", "workers": 1, "executor_options": {"partitoin": 1}}
    with pytest.raises(UserError, match="config.executor_options: .*partitoin"):
        executors.make(freeze(wrong), tmp_path)


class Scripted:
    """An executor whose jobs end as a script says; None: not at all."""

    def __init__(self, workers, outcome):
        self.workers, self._outcome = workers, outcome
        self.given, self.killed, self.stopped = [], [], False
        self._open = {}

    def submit(self, worker, job):
        future = Future()
        assert worker not in self._open, "it has a job already"
        outcome = self._outcome(job, len(self.given))
        self.given.append(job)
        if outcome is None:
            self._open[worker] = future
        elif isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
        return future

    def kill(self, worker, reason):
        self.killed.append(reason)
        self._open.pop(worker).set_exception(WorkerDied(reason))

    def stop(self):
        self.stopped = True
        for future in self._open.values():
            future.set_exception(Stopped())
        self._open.clear()


TRIALS = problem().trials
CHUNKS = tuple(Chunk(f"chunk-{i}", (TRIALS[i],), 1) for i in range(3))


@pytest.fixture
def supervised(tmp_path):
    """Perform jobs with a scripted executor; returns results and the executor."""

    def run(outcome, jobs, *, workers=1, should_stop=lambda: False, **config):
        executor = Scripted(workers, outcome)
        search = Search(
            freeze(config), tmp_path, executor, Journals(tmp_path, 3), should_stop
        )
        try:
            return perform(search, jobs, lambda: None), executor, search.journals
        except (Stopped, UserError, OSError) as error:
            return error, executor, search.journals

    return run


def ended(workdir, *chunks):
    with records.open_journal(workdir / "trials.jsonl") as journal:
        for chunk in chunks:
            for trial in chunk.trials:
                journal.append({"trial": trial.name, "status": "done"})


def test_all_jobs_are_performed_in_order_by_one_worker(supervised):
    jobs = [Job(f"job-{i}", "measure") for i in range(5)]
    results, executor, _ = supervised(lambda job, n: n, jobs)
    assert results == {f"job-{i}": i for i in range(5)}
    assert executor.given == jobs


def test_a_job_goes_on_with_what_is_left_of_it(supervised, tmp_path):
    def outcome(job, n):
        if n == 0:  # one chunk is done, the second killed its worker
            ended(tmp_path, CHUNKS[0])
            return WorkerDied("it died")
        return n

    (job,) = jobs = [Job("job", "train", chunks=CHUNKS)]
    results, executor, journals = supervised(outcome, jobs)
    assert results == {"job": 1} and not journals.failed
    assert executor.given == [job, job._replace(chunks=CHUNKS[1:])]


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("error", [JobFailed("it broke", "trace"), WorkerDied("dead")])
def test_a_chunk_that_fails_again_and_again_is_given_up(
    supervised, tmp_path, retries, error
):
    def outcome(job, n):
        if CHUNKS[1] in job.chunks:
            ended(tmp_path, *[c for c in job.chunks if c is CHUNKS[0]])
            return error
        return "done"

    jobs = [Job("job", "train", chunks=CHUNKS)]
    results, executor, _ = supervised(outcome, jobs, retries=retries)
    assert results == {"job": "done"}
    assert len(executor.given) == retries + 2
    found = records.read_trials(tmp_path)
    failed = found[TRIALS[1].name]
    times = f" ({retries + 1} times)" if retries else ""
    assert failed["status"] == "failed" and failed["reason"] == error.reason + times
    assert failed["traceback"] == error.trace
    assert [name for name, r in found.items() if r["status"] == "failed"] == [
        TRIALS[1].name
    ]


def test_a_measurement_that_always_fails_ends_the_search(supervised):
    error, executor, _ = supervised(
        lambda job, n: WorkerDied("dead"), [Job("w16", "measure")]
    )
    assert isinstance(error, UserError)
    assert "Measuring w16 failed 3 times: dead" in str(error)
    assert len(executor.given) == 3


def test_a_silent_worker_is_ended(supervised, tmp_path):
    def outcome(job, n):
        return None if n == 0 else "done"

    jobs = [Job("job", "train", chunks=CHUNKS[:1])]
    results, executor, _ = supervised(outcome, jobs, patience=0.1)
    assert results == {"job": "done"} and executor.killed == ["it was silent for 0 s"]
    # A round that is expected to take longer has longer.
    slow = [jobs[0]._replace(round_seconds=10.0)]
    stops = iter([False] * 5 + [True] * 5)
    error, executor, _ = supervised(
        outcome, slow, patience=0.1, should_stop=lambda: next(stops)
    )
    assert isinstance(error, Stopped) and not executor.killed


def test_a_worker_that_ends_rounds_is_not_silent(supervised, tmp_path):
    looks = iter(range(100))

    def should_stop():
        number = next(looks)
        with records.open_journal(tmp_path / "rounds.jsonl") as journal:
            record = {"trial": TRIALS[0].name, "round": number, "valid_loss": 1.0}
            journal.append(record)
        return number == 8

    jobs = [Job("job", "train", chunks=CHUNKS[:1])]
    error, executor, _ = supervised(
        lambda job, n: None, jobs, patience=0.5, should_stop=should_stop
    )
    assert isinstance(error, Stopped) and not executor.killed


def test_where_a_worker_is_lost_for_good_its_job_waits_for_the_others(tmp_path):
    class Shrinking(Scripted):
        """Two workers; the one that dies is not replaced until another is free."""

        def __init__(self):
            super().__init__(2, lambda job, n: WorkerDied("its node") if n == 1 else n)
            self.took = []

        def submit(self, worker, job):
            assert len(self._open) < self.workers, "there is nobody to do it"
            self.took.append((worker, job.name))
            future = super().submit(worker, job)
            if len(self.given) == 1:  # goes on for a while
                future, self._open[worker] = Future(), Future()
                self.first = worker, future
            elif isinstance(future.exception(), WorkerDied):
                self.workers = 1
            return future

    executor = Shrinking()
    search = Search(
        freeze({}), tmp_path, executor, Journals(tmp_path, 3), lambda: False
    )
    ticks = iter(range(1000))

    def tick():
        if next(ticks) == 3:
            worker, future = executor.first
            del executor._open[worker]
            future.set_result("whole")

    jobs = [Job("one", "measure"), Job("two", "measure")]
    results = perform(search, jobs, tick)
    assert results == {"one": "whole", "two": 2}
    alive, lost = executor.took[0][0], executor.took[1][0]
    assert alive != lost
    assert executor.took == [(alive, "one"), (lost, "two"), (alive, "two")]


def test_a_job_that_waits_for_a_worker_that_is_gone_is_given_to_another(tmp_path):
    """A cluster may say late that it has lost a node."""

    executor = Scripted(2, lambda job, n: WorkerDied("its node") if n == 1 else None)
    search = Search(
        freeze({"retries": 1}), tmp_path, executor, Journals(tmp_path, 3), lambda: False
    )
    ticks = iter(range(1000))
    first = Job("one", "measure"), Job("two", "train", chunks=CHUNKS[:1])

    def tick():
        now = next(ticks)
        if now == 2:
            executor.workers = 1
        if now == 4:  # worker 0 has done its job
            executor._open.pop(0).set_result("whole")
        if now == 6:
            assert executor.given[-1] == first[1] and list(executor._open) == [0]
            executor._open.pop(0).set_result("done")

    results = perform(search, [first[0], first[1]], tick)
    assert results == {"one": "whole", "two": "done"}
    assert executor.killed == ["there is no room for it any more"]


@pytest.mark.parametrize("error", [UserError("do this"), OSError(28, "disk")])
def test_what_the_user_must_mend_ends_the_search(supervised, error):
    jobs = [Job(f"job-{i}", "train", chunks=CHUNKS[:1]) for i in range(4)]
    found, executor, journals = supervised(
        lambda job, n: error if n == 1 else None, jobs, workers=2
    )
    assert found is error and executor.stopped
    assert len(executor.given) == 2 and not journals.failed


def test_what_was_recorded_is_known_at_once_and_after_a_restart(tmp_path):
    journals = Journals(tmp_path, 3)
    with records.open_journal(tmp_path / "rounds.jsonl") as rounds:
        for number in (1, 2, 3):
            rounds.append({"trial": "a", "round": number, "valid_loss": 1 / number})
        rounds.append({"trial": "b", "round": 1, "valid_loss": None})
    assert journals.look() == {"a", "b"} and journals.look() == set()
    seen = journals.history()
    # Killed between its last round and its result, a trial is not at its end.
    assert seen["a"].losses == (1.0, 0.5) and not seen["a"].ended
    assert seen["b"].losses == (float("inf"),)
    with records.open_journal(tmp_path / "trials.jsonl") as trials:
        trials.append({"trial": "a", "status": "done"})
        trials.append({"trial": "b", "status": "failed"})
    journals.look()
    seen = journals.history()
    assert seen["a"].losses[2:] == (1 / 3,) and seen["a"].ended
    assert seen["b"].failed and not seen["b"].ended
    again = Journals(tmp_path, 3).history()
    assert again["a"] == seen["a"]
    assert not again["b"].failed, "what failed in an earlier search is tried again"


def test_a_chunk_that_pauses_is_not_what_killed_its_worker(tmp_path):
    trial, chunk = TRIALS[0], CHUNKS[0]
    with records.open_journal(tmp_path / "rounds.jsonl") as journal:
        for number in (1, 2, 3):
            journal.append({"trial": trial.name, "round": number, "valid_loss": 1.0})
    journals = Journals(tmp_path, 3)
    assert journals.finished(chunk, 1) and journals.finished(chunk, 2)
    # To the end takes a result.
    assert not journals.finished(chunk, 3) and not journals.finished(chunk, None)
