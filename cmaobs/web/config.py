# SPDX-License-Identifier: GPL-2.0
"""The web configuration file: the keys of Prometheus's exporter-toolkit that have a meaning here.

docs/web-configuration.md of github.com/prometheus/exporter-toolkit has the format. A key that is
not obeyed is an error: nobody shall believe in a protection that is not there. One key is our own:
bearer_tokens_sha256, for what Prometheus sends with `authorization`.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import yaml

from cmaobs import yamlfile
from cmaobs.errors import ConfigError
from cmaobs.web.access import WebConfig

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {"NoClientCert": ssl.CERT_NONE, "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
            "RequireAndVerifyClientCert": ssl.CERT_REQUIRED}
_TLS = ("cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version",
        "max_version")
_TOP = ("tls_server_config", "basic_auth_users", "bearer_tokens_sha256")
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-6])\$[./A-Za-z0-9]{53}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read(path: str) -> WebConfig:
    """The file with what it names; paths in it are relative to it.

    Raises ConfigError naming file, line and key.
    """
    top = _keyed(path, yamlfile.pairs(path), _TOP)
    tls, files = None, [Path(path)]
    if "tls_server_config" in top:
        tls, named = _tls(path, top["tls_server_config"])
        files += named
    users = {name: text.encode() for name, text in _secrets(
        path, top, "basic_auth_users", _BCRYPT,
        "expected a bcrypt hash of cost 4 to 16", "make one with htpasswd -nBC 10 NAME").items()}
    if users:
        _need_bcrypt(path)
    tokens = _secrets(path, top, "bearer_tokens_sha256", _SHA256,
                      "expected a SHA-256 in hex", "make one with printf %s TOKEN | sha256sum")
    return WebConfig(tls, users, tokens, tuple(files))


def _keyed(path: str, pairs: yamlfile.Pairs, known: tuple[str, ...]) -> dict[str, yaml.Node]:
    found: dict[str, yaml.Node] = {}
    for key, value in pairs:
        name = str(key.value)[:60] if isinstance(key, yaml.ScalarNode) else ""
        if name not in known:
            raise yamlfile.wrong(path, key, name, "not obeyed by cmaobs",
                                 "remove it; these are: " + ", ".join(known))
        if name in found:
            raise yamlfile.wrong(path, key, name, "given twice", "remove one of them")
        found[name] = value
    return found


def _secrets(path: str, top: Mapping[str, yaml.Node], key: str, form: re.Pattern[str],
             what: str, remedy: str) -> dict[str, str]:
    """What is there is not repeated in the message: it may be the secret itself."""
    found: dict[str, str] = {}
    if key not in top:
        return found
    for name, value in yamlfile.mapping(path, top[key], key):
        if not isinstance(name, yaml.ScalarNode) or not name.value or ":" in name.value:
            raise yamlfile.wrong(path, name, key, "expected a name without a colon")
        text = yamlfile.text(path, value, key)
        if not form.fullmatch(text):
            raise yamlfile.wrong(path, value, key, what, remedy)
        if name.value in found:
            raise yamlfile.wrong(path, name, key, "a name given twice", "remove one of them")
        found[name.value] = text
    if not found:
        raise yamlfile.wrong(path, top[key], key, "nobody is in it", "add one, or remove the key")
    return found


def _tls(path: str, node: yaml.Node) -> tuple[ssl.SSLContext, list[Path]]:
    key = "tls_server_config"
    nodes = _keyed(path, yamlfile.mapping(path, node, key), _TLS)
    given = {name: yamlfile.text(path, value, name) for name, value in nodes.items()}
    for name in ("cert_file", "key_file"):
        if name not in given:
            raise yamlfile.wrong(path, node, key, f"no {name}", "name both cert_file and key_file")
    files: dict[str, Path] = {
        name: Path(path).parent / given[name]
        for name in ("cert_file", "key_file", "client_ca_file") if name in given}

    def choice(name: str, among: Mapping[str, int], default: str) -> int:
        if given.get(name, default) not in among:
            raise yamlfile.wrong(path, nodes[name], name,
                                 f"expected one of {', '.join(among)}")
        return among[given.get(name, default)]

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion(choice("min_version", _VERSIONS, "TLS12"))
    context.maximum_version = ssl.TLSVersion(choice("max_version", _VERSIONS, "TLS13"))
    if context.minimum_version > context.maximum_version:
        raise yamlfile.wrong(path, node, key, "min_version is above max_version")
    verify = choice("client_auth_type", _CLIENTS, "NoClientCert")
    if (verify != ssl.CERT_NONE) != ("client_ca_file" in files):
        raise yamlfile.wrong(path, node, key, "client_ca_file goes with a client_auth_type that "
                             "verifies, and that with it", "give both or neither")
    _load(context, files)
    context.verify_mode = ssl.VerifyMode(verify)
    return context, list(files.values())


def _load(context: ssl.SSLContext, files: Mapping[str, Path]) -> None:
    name = "cert_file and key_file"
    for path in files.values():
        try:
            path.read_bytes()  # ssl does not say which file it was
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}",
                              "give a file that can be read") from error
    try:
        # A key with a passphrase would be asked for at a terminal.
        context.load_cert_chain(files["cert_file"], files["key_file"], password=b"")
        name = "client_ca_file"
        if name in files:
            context.load_verify_locations(files[name])
    except (OSError, ValueError) as error:
        given = files.get(name, files["cert_file"])
        raise ConfigError(f"{given}: {name}: {error}",
                          "give PEM files, and a key that belongs to the certificate and has no "
                          "passphrase") from error


def _need_bcrypt(path: str) -> None:
    try:
        import bcrypt  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError(f"{path}: basic_auth_users needs bcrypt, which is not installed",
                          "pip install 'cmaobs[web]', or apt-get install python3-bcrypt") from error
