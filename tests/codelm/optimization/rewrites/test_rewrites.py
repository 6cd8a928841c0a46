"""What each family makes of a function, and what it leaves alone."""

from __future__ import annotations

import textwrap

import libcst as cst
import pytest

from tonggan.codelm.optimization.rewrites import REWRITES
from tonggan.codelm.optimization.rewriting import Context, code_of

CASES = {
    "cache": (
        "def f(n):\n    if n < 2:\n        return n\n    return f(n - 1) + f(n - 2)\n",
        "def f(n):\n    @lru_cache(maxsize=None, typed=True)\n    def f(n):\n        if n < 2:\n            return n\n"
        "        return f(n - 1) + f(n - 2)\n    return f(n)\n",
    ),
    "range": (
        "def f(a):\n    i = 0\n    while i < len(a):\n        print(a[i])\n        i += 1\n",
        "def f(a):\n    for i in range(len(a)):\n        print(a[i])\n",
    ),
    "elements": (
        "def f(rows):\n    for i in range(len(rows)):\n        print(rows[i], i)\n",
        "def f(rows):\n    for i, row in enumerate(rows):\n        print(row, i)\n",
    ),
    "builtin": (
        "def f(a, x):\n    n = 0\n    for y in a:\n        if y == x:\n            n += 1\n    return n\n",
        "def f(a, x):\n    n = a.count(x)\n    return n\n",
    ),
    "sort": (
        "def f(a):\n    r = []\n    while a:\n        m = max(a)\n        a.remove(m)\n        r.append(m)\n    return r\n",
        "def f(a):\n    r = []\n    r.extend(sorted(a, reverse=True))\n    a.clear()\n    return r\n",
    ),
    "deduplication": (
        "def f(a):\n    r = []\n    for x in a:\n        if x.k not in r:\n            r += [x.k]\n    return r\n",
        "def f(a):\n    r = list(dict.fromkeys(x.k for x in a))\n    return r\n",
    ),
    "index": (
        "def f(a, b):\n    for x in a:\n        for y in b:\n            if x.k == y.k:\n                print(x, y)\n",
        "def f(a, b):\n    b_by_key = {}\n    for y in b:\n        b_by_key.setdefault(y.k, []).append(y)\n"
        "    for x in a:\n        for y in b_by_key.get(x.k, ()):\n            print(x, y)\n",
    ),
    "membership": (
        "def f(a, b):\n    # both\n    return [x for x in a if x in b]  # kept\n",
        "def f(a, b):\n    # both\n    b_set = set(b)\n    return [x for x in a if x in b_set]  # kept\n",
    ),
    "counter": (
        "def f(a):\n    return {x: a.count(x) for x in a}\n",
        "def f(a):\n    a_counts = Counter(a)\n    return {x: a_counts[x] for x in a}\n",
    ),
    "deque": (
        "def f(a):\n    q = list(a)\n    while q:\n        print(q.pop(0))\n",
        "def f(a):\n    q = deque(a)\n    while q:\n        print(q.popleft())\n",
    ),
    "reverse": (
        "def f(a):\n    r = []\n    for x in a:\n        r.insert(0, x)\n    return r\n",
        "def f(a):\n    r = []\n    for x in a:\n        r.append(x)\n    r.reverse()\n    return r\n",
    ),
    "join": (
        'def f(a):\n    s = "<"\n    for x in a:\n        s = s + x + ","  # more\n    return s\n',
        'def f(a):\n    s_parts = ["<"]\n    for x in a:\n        s_parts += (x, ",")  # more\n    s = "".join(s_parts)\n'
        "    return s\n",
    ),
    "append": (
        "def f(a):\n    t = ()\n    for x in a:\n        t += (x,)\n    return t\n",
        "def f(a):\n    t = []\n    for x in a:\n        t.append(x)\n    t = tuple(t)\n    return t\n",
    ),
    "smallest": ("def f(a):\n    return sorted(a, key=g)[-1]\n", "def f(a):\n    return max(a, key=g)\n"),
    "smallest-guarded": ("def f(a):\n    return sorted(a)[0]\n", "def f(a):\n    return nsmallest(1, a)[0]\n"),
    "columns": (
        "def f(t):\n    for _, row in t.iterrows():\n        print(row['a'], row['b'])\n",
        "def f(t):\n    for a, b in zip(t['a'], t['b']):\n        print(a, b)\n",
    ),
    "columns-numpy": (
        "def f(t):\n    for _, row in t.iterrows():\n        print(row['a'])\n",
        "def f(t):\n    for a in t['a'].to_numpy():\n        print(a)\n",
    ),
    "array": (
        "def f(a, b, r):\n    for i in range(len(a)):\n        r[i] = a[i] * 2 + b[i]\n",
        "def f(a, b, r):\n    r[:] = a * 2 + b\n",
    ),
    "break": (
        "def f(a):\n    found = False\n    for x in a:\n        if x < 0:\n            found = True\n    return found\n",
        "def f(a):\n    found = False\n    for x in a:\n        if x < 0:\n            found = True\n            break\n"
        "    return found\n",
    ),
    "once": (
        "def f(a, r):\n    r.append(max(a))\n    a.remove(max(a))\n",
        "def f(a, r):\n    largest_a = max(a)\n    r.append(largest_a)\n    a.remove(largest_a)\n",
    ),
    "comprehension": (
        "def f(a):\n    r = []\n    for x in a:\n        for y in x:\n            if y:\n                r.append(y + 1)\n    return r\n",
        "def f(a):\n    r = [y + 1 for x in a for y in x if y]\n    return r\n",
    ),
    "hoist": (
        "def f(a, b):\n    i = 0\n    while i < len(a):\n        for x in b:\n            print(x, len(a))\n        i += 1\n",
        "def f(a, b):\n    i = 0\n    num_a = len(a)\n    while i < num_a:\n        for x in b:\n            print(x, num_a)\n"
        "        i += 1\n",
    ),
    "local": (
        "def f(a, r):\n    for x in a:\n        r.append(x)\n",
        "def f(a, r):\n    append_to_r = r.append\n    for x in a:\n        append_to_r(x)\n",
    ),
}  # fmt: skip
LEFT_ALONE = {
    "range": [
        "def f(a):\n    i = 0\n    while i < len(a):\n        i += 1\n        print(i)\n        i += 1\n",
        "def f(a):\n    i = 0\n    while i < len(a):\n        a.pop()\n        i += 1\n",
        "def f(a):\n    i = 0\n    while i < len(a):\n        print(i)\n        i += 1\n    return i\n",
    ],
    "cache": ["def f(n):\n    return f(n - 1) + f(read())\n", "def f(a):\n    a[0] = 1\n    return f(a) + f(a)\n"],
    "elements": ["def f(a):\n    for i in range(len(a)):\n        a[i] = a[i] + 1\n"],
    "builtin": [
        "def f(a, b):\n    for x in a:\n        a.append(x)\n",
        "def f(a):\n    n = 0\n    for x in a:\n        n += x\n    return n, x\n",
        "def f(a):\n    n = 0.0\n    for x in a:\n        n += x\n    return n\n",
    ],
    "sort": ["def f(a, r):\n    while a:\n        m = max(a)\n        a.remove(m)\n        a.append(m)\n"],
    "deduplication": ["def f(a):\n    r = []\n    for x in a:\n        if x not in r:\n            r.append(-x)\n    return r\n"],
    "index": ["def f(a, b):\n    for x in a:\n        for y in b:\n            if x == y:\n                b.remove(y)\n"],
    "membership": ["def f(a, b):\n    for x in a:\n        if x not in b:\n            b.append(x)\n"],
    "counter": ["def f(a):\n    for x in a:\n        if a.count(x) > 1:\n            a.remove(x)\n", "def f(a):\n    return a.count(1)\n"],
    "deque": ["def f(a):\n    while a:\n        a.pop(0)\n", "def f(a):\n    q = [a]\n    q.pop(0)\n    return q\n"],
    "reverse": ["def f(a):\n    r = []\n    for x in a:\n        if r[0] != x:\n            r.insert(0, x)\n    return r\n"],
    "join": ['def f(a):\n    s = ""\n    for x in a:\n        if x not in s:\n            s += x\n    return s\n'],
    "append": [
        "def f(a):\n    for x in a:\n        a = a + [x]\n",
        "def f(a):\n    r = []\n    kept = []\n    for x in a:\n        r = r + [x]\n        kept.append(r)\n    return kept\n",
    ],
    "smallest": ["def f(a):\n    return sorted(a)[1]\n"],
    "smallest-guarded": ["def f(a):\n    return sorted(a)[:1]\n"],
    "columns": ["def f(t):\n    for i, row in t.iterrows():\n        print(i, row['a'])\n"],
    "columns-numpy": ["def f(t):\n    for _, row in t.iterrows():\n        print(row)\n"],
    "array": ["def f(a, r):\n    for i in range(len(a)):\n        r[i] = g(a[i])\n"],
    "break": ["def f(a):\n    found = False\n    for x in a:\n        if g(x):\n            found = True\n    return found\n"],
    "once": ["def f(a, r):\n    a.remove(max(a))\n    r.append(max(a))\n"],
    "comprehension": [
        "def f(a):\n    r = []\n    for x in a:\n        r.append(len(r))\n    return r\n",
        "def f(a):\n    r = []\n    for x in a:\n        r.append(x)\n    return r, x\n",
    ],
    "hoist": ["def f(a):\n    while len(a) > 1:\n        a.pop()\n", "def f(a):\n    for x in a:\n        g(list(a))\n"],
    "local": ["def f(a, r):\n    for x in a:\n        r = []\n        r.append(x)\n"],
}  # fmt: skip


def rewritten(name, source):
    function = cst.parse_module(source).body[0]
    (family,) = [each for each in REWRITES if each.name == name]
    made = family(function, Context(frozenset())).changed()
    return None if made is None else code_of(made)


@pytest.mark.parametrize("name", [each.name for each in REWRITES])
def test_a_family_changes_what_fits(name):
    before, after = CASES[name]
    assert rewritten(name, before) == after


@pytest.mark.parametrize("name", [each.name for each in REWRITES])
def test_a_family_leaves_alone_what_it_cannot_be_sure_of(name):
    assert {source: rewritten(name, source) for source in LEFT_ALONE[name]} == dict.fromkeys(LEFT_ALONE[name])


def test_new_names_are_free_ones():
    source = textwrap.dedent("""\
        def f(a, b, b_set):
            return [x for x in a if x in b] + b_set
    """)
    assert "b_set_2 = set(b)" in rewritten("membership", source)


def test_a_name_that_is_taken_is_imported_with_its_module():
    function = cst.parse_module("def f(a):\n    return {x: a.count(x) for x in a}\n").body[0]
    (family,) = [each for each in REWRITES if each.name == "counter"]
    rewrite = family(function, Context(frozenset({"Counter"})))
    assert "collections.Counter(a)" in code_of(rewrite.changed())
    assert rewrite.imports == ["import collections"]


def test_branches_that_do_nothing_do_not_hide_a_pattern():
    source = "def f(a):\n    r = []\n    for x in a:\n        if x in r:\n            continue\n        else:\n            r.append(x)\n    return r\n"
    assert "dict.fromkeys(a)" in rewritten("deduplication", source)
    source = "def f(a, b):\n    for y in a:\n        if y == b:\n            return True\n        else:\n            pass\n    return False\n"
    assert "return b in a" in rewritten("builtin", source)
