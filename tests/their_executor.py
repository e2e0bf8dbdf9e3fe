"""A user's own executor: threads of this process, each with a worker of its own."""

import threading
from concurrent.futures import Future

from sparse_search.search.worker import Worker, answer


class Threads:
    def __init__(self, config, workdir):
        self.workers = config.workers or 2
        self._own = [Worker(config, workdir) for _ in range(self.workers)]
        self._stopped = threading.Event()
        self._threads = []

    def submit(self, worker, job):
        future = Future()

        def perform():
            result, error = answer(self._own[worker], job, self._stopped.is_set)
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._threads.append(threading.Thread(target=perform, daemon=True))
        self._threads[-1].start()
        return future

    def kill(self, worker, reason):
        """Threads cannot be killed."""

    def stop(self):
        self._stopped.set()

    def close(self):
        self.stop()
        for thread in self._threads:
            thread.join()
