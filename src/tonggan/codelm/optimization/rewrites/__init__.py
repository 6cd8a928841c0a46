"""The families of rewrites, in the order in which they are combined; a new one is one file and one line here."""

from __future__ import annotations

from tonggan.codelm.optimization.rewrites.accumulation import Accumulation
from tonggan.codelm.optimization.rewrites.arrays import Arrays
from tonggan.codelm.optimization.rewrites.builtin_loops import BuiltinLoops
from tonggan.codelm.optimization.rewrites.comprehensions import Comprehensions
from tonggan.codelm.optimization.rewrites.counted_loops import CountedLoops
from tonggan.codelm.optimization.rewrites.counting import Counting
from tonggan.codelm.optimization.rewrites.deduplication import Deduplication
from tonggan.codelm.optimization.rewrites.early_exit import EarlyExit
from tonggan.codelm.optimization.rewrites.enumeration import Enumeration
from tonggan.codelm.optimization.rewrites.hoisting import Hoisting
from tonggan.codelm.optimization.rewrites.indexes import Indexes
from tonggan.codelm.optimization.rewrites.joins import Joins
from tonggan.codelm.optimization.rewrites.local_names import LocalNames
from tonggan.codelm.optimization.rewrites.membership import Membership
from tonggan.codelm.optimization.rewrites.memoization import Memoization
from tonggan.codelm.optimization.rewrites.prepending import Prepending
from tonggan.codelm.optimization.rewrites.queues import Queues
from tonggan.codelm.optimization.rewrites.repeated_calls import RepeatedCalls
from tonggan.codelm.optimization.rewrites.smallest import Smallest, SmallestOfHeap
from tonggan.codelm.optimization.rewrites.sorting import Sorting
from tonggan.codelm.optimization.rewrites.tables import TableArrays, TableRows
from tonggan.codelm.optimization.rewriting import Rewrite

REWRITES: tuple[type[Rewrite], ...] = (
    # Those that replace an algorithm, then those that replace a loop, then those that make its turns cheaper.
    Memoization,
    CountedLoops,
    Enumeration,
    BuiltinLoops,
    Sorting,
    Deduplication,
    Indexes,
    Membership,
    Counting,
    Queues,
    Prepending,
    Joins,
    Accumulation,
    Smallest,
    SmallestOfHeap,
    TableRows,
    TableArrays,
    Arrays,
    EarlyExit,
    RepeatedCalls,
    Comprehensions,
    Hoisting,
    LocalNames,
)
