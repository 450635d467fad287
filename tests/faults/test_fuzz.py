# SPDX-License-Identifier: GPL-2.0
"""Everything that comes from outside, in any form: an answer or an error with a remedy, in time.

Each property is tried 2,000 times (or $CMAOBS_EXAMPLES), with the same examples each time, in a
bounded room: what wants more memory fails.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden import histories, recordings, samples
from golden.samples import ListSource
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cmaobs import config, config_file, metrics, report
from cmaobs.commands import running
from cmaobs.errors import CmaobsError
from cmaobs.events import RECORD
from cmaobs.observe import Observer
from cmaobs.recording import RecordingSource, framing
from cmaobs.server import Health, Server
from cmaobs.source import Batch, Source
from cmaobs.web import config as web_config
from cmaobs.web.connections import Connections
from cmaobs.web.handler import Handler

ROOT = Path(__file__).parents[2]
TRIED = settings(max_examples=int(os.environ.get("CMAOBS_EXAMPLES", "2000")), deadline=None,
                 derandomize=True, suppress_health_check=list(HealthCheck))
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
DEMO = (ROOT / "cmaobs/data/demo.cmarec").read_bytes()

_scalars = st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.none(),
                     st.sampled_from(["2s", "64M", "yes", "127.0.0.1:1", "rfc", "TLS13",
                                      "$2y$10$" + "a" * 53, "0" * 64, "/", ".", "*x", "&x 1"]))
_web_keys = st.sampled_from(["tls_server_config", "basic_auth_users", "bearer_tokens_sha256",
                             "cert_file", "key_file", "client_ca_file", "min_version"])
_values = st.recursive(_scalars, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.one_of(_web_keys, st.text(max_size=8)), inner,
                                                 max_size=4)), max_leaves=8)


def _yaml(keys: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Files that are nearly right, and files that are anything."""
    lines = st.lists(st.tuples(keys, _values), max_size=6).map(
        lambda pairs: "".join(f"{key}: {value!r}\n" for key, value in pairs))
    return st.one_of(lines.map(lambda text: text.encode("utf-8", "surrogatepass")),
                     st.binary(max_size=200), st.text(alphabet="{}[]:,&*!|>'\"%@`-? \n\tab01",
                                                      max_size=80).map(str.encode))


@pytest.fixture(scope="module", autouse=True)
def room() -> Iterator[None]:
    """4 GiB of address space for all of it."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "file"


def _tried(path: Path, data: bytes, read: object) -> None:
    path.write_bytes(data)
    try:
        read(str(path))  # type: ignore[operator]
    except CmaobsError as error:
        assert error.message
        assert error.remedy
        assert "\n" not in error.message + error.remedy


@TRIED
@given(_yaml(st.sampled_from(list(config.BY_KEY))))
@example(b"a: &x [*x, *x]\n")
@example(b"listen: " + b"[" * 5000)
def test_a_configuration_of_anything(scratch: Path, data: bytes) -> None:
    _tried(scratch, data, config_file.read)


@TRIED
@given(_yaml(_web_keys))
def test_a_web_configuration_of_anything(scratch: Path, data: bytes) -> None:
    _tried(scratch, data, web_config.read)


_edits = st.lists(st.tuples(st.integers(0, len(DEMO)), st.binary(max_size=6),
                            st.integers(0, 40)), min_size=1, max_size=4)


@TRIED
@given(_edits)
def test_a_recording_with_anything_in_it(
        scratch: Path, edits: list[tuple[int, bytes, int]]) -> None:
    """Cut, overwritten and spliced: what is read of it is checked as in `replay`."""
    data = DEMO
    for at, new, gone in edits:
        data = data[:at] + new + data[at + gone:]

    def replay(path: str) -> None:
        source = RecordingSource(path)
        try:
            for _ in Observer(source).steps():
                pass
        finally:
            source.close()
    _tried(scratch, data, replay)


def _observe(source: Source) -> None:
    """As `replay` does, with the report and the metrics."""
    observer = Observer(source, running.checker(source), follow=True)
    for _ in observer.steps():
        pass
    assert observer.view.verdict is not None
    text = report.draw_summary(report.summary(observer.view))
    assert text
    assert not CONTROL.search(text), "a terminal would obey it"
    assert metrics.exposition(observer.view)


def _chunks() -> list[framing.Chunk]:
    """Of a small recording with stacks, losses and a divergence."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "a")
        recordings.write(path, [*recordings.steps(), *histories.unlawful()])
        found, at = [], len(framing.file_header())
        with path.open("rb") as file:
            file.seek(at)
            while True:
                chunk, at = framing.read_chunk(file, at)
                if chunk is None:
                    return found
                found.append(chunk)


CHUNKS = _chunks()


def _leaves(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a JSON tree but the tree."""
    items = (tree.items() if isinstance(tree, dict) else enumerate(tree)
             if isinstance(tree, list) else ())
    for key, value in items:
        yield (*path, key)
        yield from _leaves(value, (*path, key))


def _changed(data: st.DataObject, chunk: framing.Chunk) -> bytes:
    """A chunk with something else in it, and a checksum that fits."""
    if chunk.tag == framing.RECORDS or data.draw(st.integers(0, 3)) == 0:
        at = data.draw(st.integers(0, len(chunk.data)))
        new = data.draw(st.binary(max_size=8))
        return framing.pack_chunk(chunk.tag, chunk.data[:at] + new + chunk.data[at + len(new):])
    tree = json.loads(chunk.data)
    *way, last = data.draw(st.sampled_from(list(_leaves(tree))))
    node = tree
    for key in way:
        node = node[key]
    node[last] = data.draw(st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]),
        st.just({}), st.sampled_from([0, -1, 1 << 31, 1 << 63, (1 << 64) - 1, 1 << 200])))
    return framing.pack_chunk(chunk.tag, json.dumps(tree).encode())


@TRIED
@given(st.data())
def test_a_recording_that_someone_made_on_purpose(scratch: Path, data: st.DataObject) -> None:
    """Whole and with right checksums, but what it says is not what a kernel does."""
    which = data.draw(st.sets(st.integers(0, len(CHUNKS) - 1), min_size=1, max_size=2))
    made = framing.file_header() + b"".join(
        _changed(data, chunk) if number in which else framing.pack_chunk(chunk.tag, chunk.data)
        for number, chunk in enumerate(CHUNKS))

    def replay(path: str) -> None:
        source = RecordingSource(path)
        try:
            _observe(source)
        finally:
            source.close()
    _tried(scratch, made, replay)


@TRIED
@given(st.lists(st.binary(min_size=RECORD.size, max_size=RECORD.size), max_size=12),
       st.integers(0, 1 << 63))
def test_records_of_anything_with_lawful_ones(records: list[bytes], watermark: int) -> None:
    """As they could be in a ring or recording: no crash, and the impossible ones are counted."""
    steps = histories.lawful()
    where = len(steps) // 2
    odd = Batch(b"".join(records), watermark)
    source = ListSource(*steps[:where], odd, *steps[where:])
    _observe(source)


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with Server(config.Address("127.0.0.1", 0), samples.view, Health(60)) as server:
        yield server


_words = st.sampled_from([b"GET", b"HEAD", b"POST", b"/", b"/metrics", b"/view.json", b"HTTP/1.0",
                          b"HTTP/1.1", b" ", b"\r\n", b"\r\n\r\n", b": ", b"Accept", b"\0", b"\xff",
                          b"Content-Length: 9999999999", b"Transfer-Encoding: chunked", b"%00",
                          b"Authorization: Basic ", b"Accept: application/openmetrics-text", b"?",
                          b"Expect: 100-continue", b"application/vnd.google.protobuf"])
_garbage = st.one_of(st.lists(st.one_of(_words, st.binary(max_size=4)), max_size=12).map(b"".join),
                     st.binary(max_size=300))


@TRIED
@given(_garbage)
@example(b"GET /metrics HTTP/1.0\r\n\r\n")
def test_a_request_of_anything(served: Server, data: bytes) -> None:
    """Over a real socket, through the real handler."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connections: Connections = served._http
        ours.settimeout(10)
        thread = threading.Thread(target=_handle, args=(theirs, connections))
        thread.start()
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        answer = b""
        while part := ours.recv(1 << 16):
            answer += part
        thread.join(10)
        assert not thread.is_alive()
    if answer:
        assert answer.startswith(b"HTTP/1.0 ")
        assert answer.split()[1] in {b"200", b"400", b"404", b"405", b"414", b"431", b"505"}


def _handle(connection: socket.socket, connections: Connections) -> None:
    Handler(connection, ("test", 0), connections)
    connection.shutdown(socket.SHUT_RDWR)


def test_what_is_changed_above_is_right_without_changes(tmp_path: Path) -> None:
    assert {chunk.tag for chunk in CHUNKS} == {
        framing.IDENTITY, framing.RECORDS, framing.READING, framing.END}
    path = tmp_path / "a"
    path.write_bytes(framing.file_header() + b"".join(
        framing.pack_chunk(chunk.tag, chunk.data) for chunk in CHUNKS))
    for name in (str(path), str(ROOT / "cmaobs/data/demo.cmarec")):
        source = RecordingSource(name)
        _observe(source)
        assert not source.warnings
        source.close()
