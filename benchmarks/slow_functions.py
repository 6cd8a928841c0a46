"""Thirty slow functions, each with a known better form and calls; written for ``benchmarks/code_optimization.py``.

``slow_x`` is what is optimized, ``better_x`` what somebody who knows would write, and ``CALLS["x"]`` holds calls.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict, deque

import numpy as np


def slow_unique(items):
    result = []
    for item in items:
        if item not in result:
            result.append(item)
    return result


def better_unique(items):
    return list(dict.fromkeys(items))


def slow_common(first, second):
    found = []
    for item in first:
        if item in second:
            found.append(item)
    return found


def better_common(first, second):
    known = set(second)
    return [item for item in first if item in known]


def slow_missing(wanted, present):
    return [item for item in wanted if item not in present]


def better_missing(wanted, present):
    known = set(present)
    return [item for item in wanted if item not in known]


def slow_breadth_first(graph, start):
    order = []
    seen = {start}
    queue = [start]
    while queue:
        node = queue.pop(0)
        order.append(node)
        for other in graph.get(node, []):
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return order


def better_breadth_first(graph, start):
    order, seen, queue = [], {start}, deque([start])
    while queue:
        node = queue.popleft()
        order.append(node)
        for other in graph.get(node, []):
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return order


def slow_backwards(items):
    result = []
    for item in items:
        result.insert(0, item * 2)
    return result


def better_backwards(items):
    return [item * 2 for item in reversed(items)]


def slow_reverse_text(text):
    result = ""
    for character in text:
        result = character + result
    return result


def better_reverse_text(text):
    return text[::-1]


def slow_smallest(items):
    if not items:
        return None
    return sorted(items)[0]


def better_smallest(items):
    return min(items) if items else None


def slow_oldest(people):
    if not people:
        return None
    return sorted(people, key=lambda person: person["age"], reverse=True)[0]


def better_oldest(people):
    return max(people, key=lambda person: person["age"]) if people else None


def slow_frequencies(items):
    return {item: items.count(item) for item in items}


def better_frequencies(items):
    return dict(Counter(items))


def slow_repeated(items):
    found = []
    for item in items:
        if items.count(item) > 1:
            found.append(item)
    return found


def better_repeated(items):
    counts = Counter(items)
    return [item for item in items if counts[item] > 1]


def slow_fibonacci(n):
    if n < 2:
        return n
    return slow_fibonacci(n - 1) + slow_fibonacci(n - 2)


def better_fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a if n > 0 else n


def slow_paths(rows, columns):
    if rows == 0 or columns == 0:
        return 1
    return slow_paths(rows - 1, columns) + slow_paths(rows, columns - 1)


def better_paths(rows, columns):
    return math.comb(rows + columns, rows)


def slow_joined(orders, customers):
    result = []
    for order in orders:
        for customer in customers:
            if customer["id"] == order["customer"]:
                result.append((order["number"], customer["name"]))
    return result


def better_joined(orders, customers):
    by_id = defaultdict(list)
    for customer in customers:
        by_id[customer["id"]].append(customer["name"])
    return [(order["number"], name) for order in orders for name in by_id.get(order["customer"], ())]


def slow_squares(numbers):
    result = []
    for number in numbers:
        result = result + [number * number]
    return result


def better_squares(numbers):
    return [number * number for number in numbers]


def slow_pairs_of(numbers):
    result = ()
    for number in numbers:
        result = result + ((number, -number),)
    return result


def better_pairs_of(numbers):
    return tuple((number, -number) for number in numbers)


def slow_matching(lines):
    found = []
    for line in lines:
        pattern = re.compile(r"^(\w+)\s*=\s*(\d+)$")
        if pattern.match(line):
            found.append(line)
    return found


def better_matching(lines):
    match = re.compile(r"^(\w+)\s*=\s*(\d+)$").match
    return [line for line in lines if match(line)]


def slow_shares(amounts):
    result = []
    for amount in amounts:
        result.append(amount / sum(amounts))
    return result


def better_shares(amounts):
    total = sum(amounts)
    return [amount / total for amount in amounts]


def slow_above_best(scores, others):
    num = 0
    for score in scores:
        if score > max(others):
            num += 1
    return num


def better_above_best(scores, others):
    best = max(others) if scores else 0
    return sum(score > best for score in scores)


def slow_total(numbers):
    total = 0
    for number in numbers:
        total += number
    return total


def better_total(numbers):
    return sum(numbers)


def slow_largest(numbers):
    if not numbers:
        return None
    best = numbers[0]
    for number in numbers:
        if number > best:
            best = number
    return best


def better_largest(numbers):
    return max(numbers) if numbers else None


def slow_occurs(items, wanted):
    for item in items:
        if item == wanted:
            return True
    return False


def better_occurs(items, wanted):
    return wanted in items


def slow_has_negative(numbers):
    found = False
    for number in numbers:
        if number < 0:
            found = True
    return found


def better_has_negative(numbers):
    return any(number < 0 for number in numbers)


def slow_how_many(items, wanted):
    num = 0
    for item in items:
        if item == wanted:
            num += 1
    return num


def better_how_many(items, wanted):
    return items.count(wanted)


def slow_bubble(items):
    items = list(items)
    for i in range(len(items)):
        for j in range(len(items) - 1):
            if items[j] > items[j + 1]:
                items[j], items[j + 1] = items[j + 1], items[j]
    return items


def better_bubble(items):
    return sorted(items)


def slow_descending(items):
    rest = list(items)
    result = []
    while rest:
        best = max(rest)
        result.append(best)
        rest.remove(best)
    return result


def better_descending(items):
    return sorted(items, reverse=True)


def slow_three_largest(items):
    rest = list(items)
    result = []
    for _ in range(min(3, len(rest))):
        result.append(max(rest))
        rest.remove(max(rest))
    return result


def better_three_largest(items):
    return heapq.nlargest(3, items)


def slow_lengths(points):
    result = []
    for i in range(len(points)):
        result.append(math.sqrt(points[i][0] * points[i][0] + points[i][1] * points[i][1]))
    return result


def better_lengths(points):
    return [math.sqrt(x * x + y * y) for x, y in points]


def slow_scaled(values, weights):
    result = np.zeros(len(values))
    for i in range(len(values)):
        result[i] = values[i] * 2.0 + weights[i]
    return result


def better_scaled(values, weights):
    return values * 2.0 + weights


def slow_costs(table):
    costs = []
    for _, row in table.iterrows():
        costs.append(row["price"] * row["number"])
    return costs


def better_costs(table):
    return [price * number for price, number in zip(table["price"], table["number"], strict=True)]


def slow_labels(table):
    labels = []
    for _, row in table.iterrows():
        labels.append(row["name"] + ":" + row["kind"])
    return labels


def better_labels(table):
    return [name + ":" + kind for name, kind in zip(table["name"], table["kind"], strict=True)]


_PEOPLE = "[{'age': (7 * i) % 91, 'name': str(i)} for i in range(60)]"
_TABLE = "pd.DataFrame({'price': [1.5, 2.0, 3.25] * 20, 'number': [1, 2, 3] * 20, 'name': ['a', 'b', 'c'] * 20})"
CALLS: dict[str, list[str]] = {
    "unique": ["[i % 40 for i in range(120)]", "['a', 'b', 'a']"],
    "common": ["list(range(80)), list(range(40, 120))", "[1, 2], [2]"],
    "missing": ["list(range(80)), list(range(40, 120))", "[1, 2], [2]"],
    "breadth_first": ["{i: [2 * i + 1, 2 * i + 2] for i in range(400)}, 0", "{1: [2], 2: [1]}, 1"],
    "backwards": ["list(range(300))", "[3, 1]"],
    "reverse_text": ["'abcdefghij' * 40", "'xy'"],
    "smallest": ["[(37 * i) % 101 for i in range(100)]", "[2]", "[]"],
    "oldest": [_PEOPLE, "[]"],
    "frequencies": ["[i % 20 for i in range(100)]", "[1, 1]"],
    "repeated": ["[i % 70 for i in range(100)]", "[1, 1]"],
    "fibonacci": ["15", "3"],
    "paths": ["6, 6", "2, 1"],
    "joined": [
        "[{'customer': i % 40, 'number': i} for i in range(60)], [{'id': i, 'name': str(i)} for i in range(40)]",
    ],
    "squares": ["list(range(200))", "[2, 3]"],
    "pairs_of": ["list(range(200))", "[2, 3]"],
    "matching": ["['a = 1', 'b', 'c=22'] * 30", "['x = y']"],
    "shares": ["[1.5, 2.5, 4.0] * 20", "[1.0]"],
    "above_best": ["list(range(60)), list(range(30))", "[1, 2], [1]"],
    "total": ["list(range(200))", "[3, -1]"],
    "largest": ["[(37 * i) % 101 for i in range(100)]", "[2]", "[]"],
    "occurs": ["list(range(200)), 150", "[1, 2], 3"],
    "has_negative": ["[-1] + list(range(200))", "[1, 2]"],
    "how_many": ["[i % 7 for i in range(200)], 3", "[1, 2], 3"],
    "bubble": ["[(37 * i) % 101 for i in range(40)]", "[2, 1]"],
    "descending": ["[(37 * i) % 101 for i in range(80)]", "[1, 2, 2]"],
    "three_largest": ["[(37 * i) % 101 for i in range(100)]", "[1, 2]"],
    "lengths": ["[(i * 0.5, i * 0.25) for i in range(100)]", "[(3.0, 4.0)]"],
    "scaled": ["np.arange(200.0), np.ones(200)", "np.zeros(3), np.ones(3)"],
    "costs": [_TABLE],
    "labels": ["pd.DataFrame({'name': ['a', 'b'] * 30, 'kind': ['x', 'y'] * 30})"],
}
IMPORTS = "import math\nimport re\n\nimport numpy as np\nimport pandas as pd\n"
