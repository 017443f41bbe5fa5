"""Why a feature is not kept, in words."""

from __future__ import annotations

__all__ = ["REASONS"]

REASONS = {
    "noise": "adds no more than noise",
    "redundancy": "says nothing of the target, chosen for being unlike the others",
    "unknown": "no p-value: too few groups of units",
}
"""Words for reasons of the table; alerts are their own."""
