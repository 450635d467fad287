# SPDX-License-Identifier: GPL-2.0
"""Policies by name: a base, and what of it is done in another way. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cmaobs.steps import PLAIN, RFC, Policy

BASES = {"rfc": RFC, "plain": PLAIN}
VARIANTS: dict[str, dict[str, Any]] = {
    "merge": {"merge": True},
    "oldest-first": {"oldest_first": True},
    "keep-at-zero": {"flush_at_zero": False},
}
KNOWN = ("rfc (deferred freeing), or plain (a kernel without it); behind rfc any of ,merge "
         "(adjacent extents may become one) ,oldest-first (scans take the oldest extent first) "
         ",keep-at-zero (batch = 0 keeps what is deferred)")


def parse(name: str) -> Policy:
    """The policy of a name such as rfc or rfc,merge,oldest-first.

    Raises ValueError with a phrase that lists what there is.
    """
    base, *variants = name.split(",")
    if base not in BASES or (variants and base != "rfc") or set(variants) - VARIANTS.keys():
        raise ValueError(f"expected {KNOWN}")
    policy = BASES[base]
    for variant in variants:
        policy = replace(policy, **VARIANTS[variant])
    return policy


def named(name: str) -> str:
    """The name as it is, for a policy that there is; raises ValueError as parse() does."""
    parse(name)
    return name
