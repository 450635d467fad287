# SPDX-License-Identifier: GPL-2.0
"""The web configuration: what it may say, who gets in, and what happens when it changes."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bcrypt
import pytest
from golden import samples

from cmaobs import web
from cmaobs.cli import main
from cmaobs.config import Address
from cmaobs.errors import ConfigError
from cmaobs.metrics import table
from cmaobs.server import Health, Server
from cmaobs.web import config as web_config
from cmaobs.web import gate as gates

# a salt that stays, so that each of pytest's processes has tests of the same names
HASH = bcrypt.hashpw(b"secret", b"$2b$04$abcdefghijklmnopqrstuu").decode()
TOKEN = "0123456789abcdef"
USERS = f"basic_auth_users:\n  alice: {HASH}\n"
TOKENS = f"bearer_tokens_sha256:\n  prometheus: {hashlib.sha256(TOKEN.encode()).hexdigest()}\n"
TLS = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"


def openssl(*arguments: str) -> None:
    tool = shutil.which("openssl")
    assert tool, "openssl is missing: apt-get install openssl"
    subprocess.run([tool, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.pem and .key, client.pem and .key, which is a CA for itself, and other.key."""
    directory = tmp_path_factory.mktemp("tls")
    for name in ("server", "client", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", str(directory / f"{name}.key"),
                "-out", str(directory / f"{name}.pem"))
    return directory


@pytest.fixture
def write(tmp_path: Path, certificates: Path) -> Callable[[str], str]:
    for file in certificates.iterdir():
        shutil.copy(file, tmp_path)

    def write(text: str) -> str:
        path = tmp_path / "web.yml"
        path.write_text(text)
        return str(path)
    return write


class Asked:
    """A server behind a gate, and what it said."""

    def __init__(self, path: str) -> None:
        self.said: list[str] = []
        self.gate = web.Gate(path, self.said.append)
        self.server = Server(Address("127.0.0.1", 0), samples.view, Health(60), gate=self.gate)

    def ask(self, authorization: str | None = None, path: str = "/metrics",
            tls: ssl.SSLContext | None = None) -> tuple[int, http.client.HTTPMessage, str]:
        port = self.server.address.port
        connection = (http.client.HTTPSConnection("127.0.0.1", port, timeout=300, context=tls)
                      if tls else http.client.HTTPConnection("127.0.0.1", port, timeout=300))
        try:
            connection.request("GET", path, headers={"Authorization": authorization}
                               if authorization else {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Asked]]:
    monkeypatch.setattr(gates, "_EVERY_S", 0.0)
    made: list[Asked] = []

    def serve(path: str) -> Asked:
        made.append(Asked(path))
        made[-1].server.__enter__()
        return made[-1]
    yield serve
    for one in made:
        one.server.__exit__(None, None, None)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def trusting(directory: Path, client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(directory / "server.pem"))
    if client:
        context.load_cert_chain(directory / "client.pem", directory / "client.key")
    return context


@pytest.mark.parametrize("path", ["/metrics", "/", "/view.json", "/healthz", "/nothing"])
def test_nobody_gets_anything_without_a_name_or_token(
        write: Callable[[str], str], serve: Callable[[str], Asked], path: str) -> None:
    one = serve(write(USERS + TOKENS))
    status, headers, body = one.ask(path=path)
    assert (status, body) == (401, "not without a name or token\n")
    assert headers.get_all("WWW-Authenticate") == [
        'Basic realm="cmaobs", charset="UTF-8"', 'Bearer realm="cmaobs"']


@pytest.mark.parametrize(("header", "status"), [
    (basic("alice", "secret"), 200), (f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN} ", 200),
    (basic("alice", "Secret"), 401), (basic("bob", "secret"), 401), (basic("", ""), 401),
    (basic("alice", "secret" + "\0"), 401), (basic("alice", "s" * 73), 401),
    (basic("alice", HASH), 401), ("Basic", 401), ("Basic !!!", 401), ("Basic YWxpY2U=", 401),
    ("Bearer", 401), ("Bearer " + hashlib.sha256(TOKEN.encode()).hexdigest(), 401),
    ("Digest x", 401), ("Bearer ünïcode", 401), ("Basic Ünïcode", 401)])
def test_who_gets_in(write: Callable[[str], str], serve: Callable[[str], Asked], header: str,
                     status: int) -> None:
    one = serve(write(USERS + TOKENS))
    assert one.ask(header)[0] == status
    assert one.ask(header)[0] == status, "the second time it is different"


def test_a_password_is_hashed_once_and_a_wrong_one_each_time(
        monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    check = bcrypt.checkpw
    monkeypatch.setattr(bcrypt, "checkpw", lambda password, salt: (
        hashed.append(password), check(password, salt))[1])
    access = web.Access({"alice": HASH.encode()}, {})
    assert [access.opens(basic("alice", word)) for word in ("secret", "secret", "no", "no")] == [
        True, True, False, False]
    assert hashed == [b"secret", b"no", b"no"]
    assert not access.opens(basic("nobody", "secret"))
    assert hashed[-1] == b"secret", "an unknown name is told by the time that it takes"


def test_over_tls_and_over_nothing_else(
        write: Callable[[str], str], serve: Callable[[str], Asked], tmp_path: Path) -> None:
    one = serve(write(TLS + TOKENS))
    assert one.ask(f"Bearer {TOKEN}", tls=trusting(tmp_path))[0] == 200
    assert one.ask(tls=trusting(tmp_path))[0] == 401
    with pytest.raises((OSError, http.client.HTTPException)):
        one.ask(f"Bearer {TOKEN}")
    with pytest.raises(ssl.SSLCertVerificationError):
        one.ask(tls=ssl.create_default_context())
    old = trusting(tmp_path)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, \
        ssl.TLSVersion.TLSv1_2
    assert one.ask(f"Bearer {TOKEN}", tls=old)[0] == 200


def test_only_tls_1_3_where_that_is_asked_for(
        write: Callable[[str], str], serve: Callable[[str], Asked], tmp_path: Path) -> None:
    one = serve(write(TLS + "  min_version: TLS13\n"))
    old = trusting(tmp_path)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        one.ask(tls=old)
    assert one.ask(tls=trusting(tmp_path))[0] == 200


def test_only_clients_with_a_certificate_where_that_is_asked_for(
        write: Callable[[str], str], serve: Callable[[str], Asked], tmp_path: Path) -> None:
    one = serve(write(TLS + "  client_auth_type: RequireAndVerifyClientCert\n"
                            "  client_ca_file: client.pem\n"))
    assert one.ask(tls=trusting(tmp_path, client=True))[0] == 200
    with pytest.raises((OSError, http.client.HTTPException)):
        one.ask(tls=trusting(tmp_path))


def test_a_handshake_that_never_ends_keeps_nobody_waiting(
        write: Callable[[str], str], serve: Callable[[str], Asked], tmp_path: Path) -> None:
    import socket
    one = serve(write(TLS))
    silent = [socket.create_connection(("127.0.0.1", one.server.address.port)) for _ in range(100)]
    try:
        assert one.ask(tls=trusting(tmp_path))[0] == 200
    finally:
        for each in silent:
            each.close()


def value(one: Asked, name: str, header: str) -> float:
    lines = one.ask(header)[2].splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def test_a_change_is_taken_and_a_wrong_one_is_not(
        write: Callable[[str], str], serve: Callable[[str], Asked]) -> None:
    one = serve(write(USERS))
    alice, bob = basic("alice", "secret"), basic("bob", "secret")
    assert (one.ask(alice)[0], one.ask(bob)[0]) == (200, 401)
    web_metrics = {name for name, metric in table.BY_NAME.items() if metric.when == "web"}
    assert len(web_metrics) == 2
    first = value(one, "cmaobs_web_config_last_reload_success_timestamp_seconds", alice)
    assert abs(time.time() - first) < 60

    write(USERS.replace("alice", "bob"))
    assert (one.ask(alice)[0], one.ask(bob)[0]) == (401, 200)
    assert value(one, "cmaobs_web_config_last_reload_success_timestamp_seconds", bob) > first
    for wrong in ("basic_auth_users: [", "basic_auth_users:\n  alice: secret\n", "", TLS):
        write(wrong)
        assert (one.ask(alice)[0], one.ask(bob)[0]) == (401, 200), wrong
        time.sleep(0.15)  # an answer is kept that long
        assert value(one, "cmaobs_web_config_last_reload_successful", bob) == 0
    os.unlink(write(""))
    assert one.ask(bob)[0] == 200
    write(USERS)
    assert (one.ask(alice)[0], one.ask(bob)[0]) == (200, 401)
    time.sleep(0.15)
    assert value(one, "cmaobs_web_config_last_reload_successful", alice) == 1
    kept = [line for line in one.said if "kept as it was" in line]
    assert len(kept) == 4, one.said
    assert "all users away" in kept[2]
    assert "secret" not in "".join(one.said)


def test_tls_is_not_taken_away_and_a_certificate_may_be_renewed(
        write: Callable[[str], str], serve: Callable[[str], Asked], tmp_path: Path) -> None:
    one = serve(write(TLS))
    assert one.ask(tls=trusting(tmp_path))[0] == 200
    write(USERS)
    assert one.ask(tls=trusting(tmp_path))[0] == 200, one.said
    assert "take TLS away" in one.said[-1]
    write(TLS)
    shutil.copy(tmp_path / "client.pem", tmp_path / "server.pem")  # not yet with its key
    old = ssl.create_default_context(cafile=str(tmp_path / "other.pem"))
    with pytest.raises(ssl.SSLCertVerificationError):
        one.ask(tls=old)
    assert "a key that belongs to the certificate" in one.said[-1]
    shutil.copy(tmp_path / "client.key", tmp_path / "server.key")
    assert one.ask(tls=trusting(tmp_path))[0] == 200, one.said


@pytest.mark.parametrize(("text", "message"), [
    ("http_server_config:\n  http2: true\n", "web.yml:1: http_server_config: not obeyed"),
    (TLS + "  cipher_suites: [X]\n", "web.yml:4: cipher_suites: not obeyed"),
    (TLS + "  min_version: TLS10\n", "web.yml:4: min_version: expected one of TLS12, TLS13"),
    (TLS + "  min_version: TLS13\n  max_version: TLS12\n", "min_version is above max_version"),
    (TLS + "  client_auth_type: RequireAnyClientCert\n", "client_auth_type: expected one of"),
    (TLS + "  client_auth_type: RequireAndVerifyClientCert\n", "client_ca_file goes with"),
    (TLS + "  client_ca_file: client.pem\n", "client_ca_file goes with"),
    (TLS.replace("server.key", "other.key"), "cert_file and key_file: "),
    (TLS.replace("server.pem", "missing.pem"), "missing.pem: No such file or directory"),
    (TLS.replace("server.pem", "web.yml"), "web.yml: cert_file and key_file: "),
    ("tls_server_config:\n  cert_file: server.pem\n", "no key_file"),
    ("tls_server_config: yes\n", "expected `key: value` lines"),
    ("basic_auth_users:\n  alice: hunter2\n", "web.yml:2: basic_auth_users: expected a bcrypt"),
    ("basic_auth_users:\n  alice: $2y$31$" + "a" * 53 + "\n", "expected a bcrypt hash of cost"),
    ("basic_auth_users:\n  'a:b': " + HASH + "\n", "expected a name without a colon"),
    (USERS + "  alice: " + HASH + "\n", "a name given twice"),
    ("basic_auth_users: {}\n", "nobody is in it"),
    ("bearer_tokens_sha256:\n  a: " + TOKEN + "\n", "expected a SHA-256 in hex"),
    (USERS + USERS, "given twice"), ("[]\n", "expected `key: value` lines"),
    ("a: [", "expected the node content"),
])
def test_what_is_wrong_is_told_in_a_line(
        write: Callable[[str], str], capsys: pytest.CaptureFixture[str], text: str,
        message: str) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        web_config.read(path)
    assert message in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.remedy
    assert TOKEN not in caught.value.message
    assert main(["serve", "--web-config", path]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(
        write: Callable[[str], str], tmp_path: Path) -> None:
    openssl("ec", "-aes128", "-passout", "pass:x", "-in", str(tmp_path / "server.key"),
            "-out", str(tmp_path / "locked.key"))
    with pytest.raises(ConfigError, match="cert_file and key_file"):
        web_config.read(write(TLS.replace("server.key", "locked.key")))
