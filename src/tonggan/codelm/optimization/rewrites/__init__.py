"""The families of rewrites, in the order in which they are combined; a new one is one file and one line here."""

from __future__ import annotations

from tonggan.codelm.optimization.rewrites.comprehensions import Comprehensions
from tonggan.codelm.optimization.rewrites.deduplication import Deduplication
from tonggan.codelm.optimization.rewrites.membership import Membership
from tonggan.codelm.optimization.rewriting import Rewrite

REWRITES: tuple[type[Rewrite], ...] = (
    Deduplication,
    Membership,
    Comprehensions,
)
