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
# enum cma_defer_policy of the patch series: what the area's file is given, and what it changes.
BY_AREA: tuple[tuple[str, dict[str, Any]], ...] = (
    ("first-fit", {}),
    ("deferred-first", {"prefer_deferred": True, "flush_overlap": True}),
)
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


def of_area(base: Policy, number: int | None) -> Policy | None:
    """The policy of an area whose member policy is number, None on a kernel without the member.

    None where the number is not known here.
    """
    if number is None:
        return base
    return replace(base, **BY_AREA[number][1]) if number < len(BY_AREA) else None


def name_of(number: int) -> str:
    """As the area's file has it; the number where it is not known here."""
    return BY_AREA[number][0] if number < len(BY_AREA) else str(number)


def named(name: str) -> str:
    """The name as it is, for a policy that there is; raises ValueError as parse() does."""
    parse(name)
    return name
