# SPDX-License-Identifier: GPL-2.0
"""Settings: one table of keys, each a flag and a key of the YAML file.

Owns what each value may be. A flag wins over the file, the file over the default.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cmaobs import policies

_UNITS_S = {"ms": 0.001, "": 1, "s": 1, "m": 60, "h": 3600}
_UNITS_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Address(NamedTuple):
    """Where the server listens; port 0 means any that is free.

    fd: of a socket that listens already, whatever host and port say.
    """

    host: str
    port: int
    fd: int | None = None

    def __str__(self) -> str:
        if self.fd is not None:
            return f"fd:{self.fd}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


DEFAULT_LISTEN = Address("127.0.0.1", 9759)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command runs with. Times in seconds, sizes in bytes.

    duration, record, max_size, status, evidence, web_config, user, max_rate: None means without.
    policy: its name; None is the one that fits the kernel.
    """

    listen: Address = DEFAULT_LISTEN
    attach: Literal["auto", "kprobe", "fentry"] = "auto"
    interval: float = 0.5
    duration: float | None = None
    record: str | None = None
    max_size: int | None = None
    ring_pages: int = 1024
    root: str = "/"
    status: float | None = None
    policy: str | None = None
    stacks: bool = False
    callers: bool = True
    buffers: float | None = None
    lent: float | None = None
    phases: bool = False
    max_rate: int | None = None
    evidence: str | None = None
    evidence_files: int = 16
    evidence_bytes: int = 64 << 20
    web_config: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One key. parse turns its text into its value, or raises ValueError with a phrase.

    bare: what the flag means without a value; None where it needs one.
    """

    key: str
    metavar: str
    parse: Callable[[str], Any]
    help: str
    bare: str | None = None

    @property
    def field(self) -> str:
        """The attribute of Settings."""
        return self.key.replace("-", "_")


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|)", text)
        if not match:
            raise ValueError("expected a time such as 2, 500ms, 5m or 1h")
        value = float(match[1]) * _UNITS_S[match[2]]
        if not least <= value <= most or math.isnan(value):
            raise ValueError(f"expected a time from {least:g} s to {most:g} s")
        return value
    return parse


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,15})([KMG]?)", text)
    if not match:
        raise ValueError("expected a size in bytes such as 500000, 64M or 1G")
    value = int(match[1]) * _UNITS_BYTES[match[2]]
    if value < 1 << 16:
        raise ValueError("expected at least 64K")
    return value


def _address(text: str) -> Address:
    handed = re.fullmatch(r"fd:(\d{1,4})", text)
    if handed:
        return Address("", 0, int(handed[1]))
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^\s:\[\]]+)):(\d{1,5})", text)
    if not match or int(match[3]) > 65535:
        raise ValueError("expected HOST:PORT such as 127.0.0.1:9759 or [::1]:9759")
    return Address(match[1] or match[2], int(match[3]))


def _ring_pages(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise ValueError("expected a number of pages")
    value = int(text)
    if not 8 <= value <= 1 << 16 or value & (value - 1):
        raise ValueError("expected a power of two from 8 to 65536 pages")
    return value


def _attach(text: str) -> str:
    if text not in ("auto", "kprobe", "fentry"):
        raise ValueError("expected auto, kprobe or fentry")
    return text


def _directory(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError("expected a directory")
    return text


def _yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("expected yes or no")
    return text == "yes"


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"expected a number from {least} to {most}")
        return int(text)
    return parse


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("expected a file name")
    return text


OPTIONS = (
    Option("listen", "HOST:PORT", _address, "serve here (default 127.0.0.1:9759); fd:3 is a "
           "socket that systemd hands over"),
    Option("attach", "HOW", _attach, "auto, kprobe or fentry (default auto: fentry where the "
           "kernel offers it and no other tracer has it)"),
    Option("interval", "TIME", _seconds(0.1, 3600), "time between readings (default 500ms)"),
    Option("duration", "TIME", _seconds(0.1, 366 * 86400), "end after this (default: run until "
           "interrupted; check: 10s)"),
    Option("record", "FILE", _path, "also write a recording"),
    Option("max-size", "SIZE", _size, "end the recording before it grows beyond, such as 64M "
           "(default: no limit)"),
    Option("ring-pages", "N", _ring_pages, "pages of the ring buffer, a power of two "
           "(default 1024: 4 MiB)"),
    Option("root", "DIR", _directory, "look for proc and sys in this tree (default /)"),
    Option("status", "TIME", _seconds(0.1, 3600), "print a line this often (default: never; "
           "without TIME: 5s)", bare="5s"),
    Option("policy", "NAME", policies.named, "what the kernel means to do: rfc or plain, rfc with "
           ",merge ,oldest-first ,keep-at-zero (default: rfc, or plain on a kernel that does not "
           "defer)"),
    Option("stacks", "yes|no", _yes_no, "take the kernel stack of each operation (default yes; "
           "serve: no)", bare="yes"),
    Option("callers", "yes|no", _yes_no, "find out who holds which pages and who asked (default "
           "yes; with --stacks also for which driver)", bare="yes"),
    Option("buffers", "TIME", _seconds(1, 86400), "find out this often which processes hold "
           "dma-bufs (default: never; snapshot does it once; without TIME: 10s)", bare="10s"),
    Option("lent", "TIME", _seconds(1, 86400), "find out this often which pages of the areas are "
           "lent to movable users (default: never; snapshot does it once; without TIME: 10s)",
           bare="10s"),
    Option("phases", "yes|no", _yes_no, "find out where the time of allocations goes: waiting, "
           "isolating, draining, reclaiming, migrating, testing (default no)", bare="yes"),
    Option("max-rate", "N", _number(1, 999_999_999), "while there are more operations a second, "
           "withhold phases, then stacks, then records, without which the verdict is unknown; "
           "counts stay exact (default: no limit)"),
    Option("evidence", "DIR", _path, "keep a small recording of each divergence in this directory, "
           "which is made if it is missing"),
    Option("evidence-files", "N", _number(1, 100_000), "so many of them at most; the oldest go "
           "(default 16)"),
    Option("evidence-bytes", "SIZE", _size, "and so many bytes in all (default 64M)"),
    Option("web-config", "FILE", _path, "TLS, users and tokens of the server, as in Prometheus's "
           "web configuration (default: none, and plain HTTP); read again when it changes"),
    Option("user", "NAME", _path, "once attached, and before anything is served, become this user "
           "and give up every capability"),
)
BY_KEY = {option.key: option for option in OPTIONS}


def add_policy(parser: argparse.ArgumentParser) -> None:
    """--policy alone, for commands that read recordings."""
    option = BY_KEY["policy"]
    parser.add_argument("--policy", metavar=option.metavar, type=_argument(option),
                        help="judge by this policy instead of the recording's own: rfc or plain, "
                        "rfc with ,merge ,oldest-first ,keep-at-zero")


def add_flags(parser: argparse.ArgumentParser, keys: Iterable[str]) -> None:
    """Add --config and a flag for each key to a subcommand's parser."""
    for key in keys:
        option = BY_KEY[key]
        bare = {} if option.bare is None else {"nargs": "?", "const": option.parse(option.bare)}
        parser.add_argument(f"--{key}", dest=option.field, metavar=option.metavar,
                            type=_argument(option), help=option.help, **bare)
    parser.add_argument("--config", metavar="FILE",
                        help="YAML with any of: " + ", ".join(BY_KEY) + "; flags win")


def settings(args: argparse.Namespace, **defaults: Any) -> Settings:
    """Settings from flags, the file of --config, and the command's own defaults.

    Raises ConfigError naming file, line and key.
    """
    values = dict(defaults)
    if getattr(args, "config", None) is not None:
        from cmaobs.config_file import read  # YAML's reader takes long to load

        values |= read(args.config)
    for field in dataclasses.fields(Settings):
        flag = getattr(args, field.name, None)
        if flag is not None:
            values[field.name] = flag
    return Settings(**values)


def argument(key: str) -> Callable[[str], Any]:
    """What parses a value of that key for argparse, for flags that are not settings."""
    return _argument(BY_KEY[key])


def _argument(option: Option) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            return option.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from error
    return parse
