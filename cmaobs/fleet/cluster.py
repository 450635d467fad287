# SPDX-License-Identifier: GPL-2.0
"""Work on the workers of a Dask scheduler. The only code that touches distributed.

Workers import this package, and read recordings and Parquet files at the paths that they have here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

import cmaobs
from cmaobs.errors import CmaobsError, HostError, UsageError
from cmaobs.fleet import store
from cmaobs.gathered import Told

try:
    import distributed
    from distributed.comm import connect
except ImportError as error:
    raise UsageError("there is no dask.distributed, which --scheduler needs",
                     "pip install 'cmaobs[dask]', or leave --scheduler out") from error

_CONNECT_S = 10
_ALONE_S = 30  # for which no worker may be there
_PARTS = 4  # of the work, for each thread of a worker
_SAME = "install the same versions on all: pip install 'cmaobs[dask]'"
_AGAIN = "start it again, and this command; what was added is kept"

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item, Told], Result]


class Cluster:
    """The workers of a scheduler. Raises HostError where nothing answers, or others than this do.

    address: as Dask has it, such as tcp://host:8786.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised here
        try:
            asyncio.run(_greet(address))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions, which _check() compares
                self._client = distributed.Client(address, timeout=_CONNECT_S)
        except Exception as error:  # whatever may listen there, and answer
            raise HostError(f"no Dask scheduler answers at {address}",
                            "start one, `dask scheduler`, or leave --scheduler out") from error
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """The scheduler and its workers go on."""
        self._client.close()

    @property
    def parts(self) -> int:
        """Into how many parts work is best divided."""
        threads: int = sum(self._client.nthreads().values())
        return _PARTS * max(threads, 1)

    def each(self, work: Work[Item, Result], items: Sequence[Item], told: Told) -> list[Result]:
        """work(item) of each, in the order of the items. What it raises is raised here.

        Where a worker dies, another one does its work. Raises HostError where none is left.
        """
        task = functools.partial(_task, _versions(), work)
        futures = self._client.map(task, items, pure=False)
        try:
            self._wait(futures, told)
            return [future.result() for future in futures]
        except distributed.KilledWorker as error:
            raise HostError(f"a task ended {error.allowed_failures + 1} workers of {self._address}",
                            "most likely their memory ran out: see their logs") from error
        except ImportError as error:
            raise self._others(str(error)) from error
        except (CancelledError, OSError) as error:
            raise HostError(f"the scheduler at {self._address} went away", _AGAIN) from error
        finally:
            for future in futures:
                future.release()

    def _wait(self, futures: Sequence[Any], told: Told) -> None:
        waiting, seen = set(futures), time.monotonic()
        while waiting:
            try:
                waiting = distributed.wait(waiting, timeout=1,
                                           return_when="FIRST_COMPLETED").not_done
            except TimeoutError:
                if self._client.nthreads():
                    seen = time.monotonic()
                elif time.monotonic() - seen > _ALONE_S:
                    raise self._alone() from None
            told(1 - len(waiting) / len(futures))
            failed = [future for future in futures if future.status in ("error", "cancelled")]
            if failed:
                failed[0].result()

    def _check(self) -> None:
        """Raises HostError where another version would do the work."""
        try:
            self._client.wait_for_workers(1, timeout=_CONNECT_S)
        except TimeoutError as error:
            raise self._alone() from error
        ours = _versions()
        theirs = self._client.get_versions()["scheduler"]["packages"].get("distributed")
        if theirs != ours["distributed"]:
            raise self._others(f"the scheduler has distributed {theirs}, this machine "
                               f"{ours['distributed']}")
        for address, found in self._client.run(_versions, on_error="return").items():
            if not isinstance(found, dict):
                raise self._others(f"worker {address}: {' '.join(str(found).split())[:100]}")
            _compare(address, ours, found)

    def _others(self, what: str) -> HostError:
        return HostError(f"the cluster at {self._address} cannot do this work: {what}", _SAME)

    def _alone(self) -> HostError:
        return HostError(f"the scheduler at {self._address} has no workers",
                         f"start some: dask worker {self._address}")


async def _greet(address: str) -> None:
    """Client() waits for ever for an answer where something takes the connection and is silent."""
    security = distributed.Security()
    async with asyncio.timeout(_CONNECT_S):
        comm = await connect(address, _CONNECT_S, **security.get_connection_args("client"))
    comm.abort()


def _versions() -> dict[str, str]:
    """Of what results may depend on."""
    return {"cmaobs": cmaobs.__version__, "duckdb": store.VERSION,
            "distributed": distributed.__version__,
            "python": ".".join(map(str, sys.version_info[:2]))}


def _compare(address: str, ours: dict[str, str], theirs: dict[str, str]) -> None:
    for name, version in ours.items():
        if theirs.get(name) != version:
            raise HostError(f"worker {address} has {name} {theirs.get(name)}, this machine "
                            f"{version}", _SAME)


def _task(versions: dict[str, str], work: Work[Item, Result], item: Item) -> Result:
    """On a worker, which may have come after _check()."""
    address = distributed.get_worker().address
    _compare(address, versions, _versions())
    try:
        return work(item, lambda _: None)
    except CmaobsError as error:
        raise type(error)(f"worker {address}: {error.message}", error.remedy) from error
