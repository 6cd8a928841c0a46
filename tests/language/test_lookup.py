from tonggan.language.lookup import Lookup


def test_a_draft_is_what_followed_the_last_occurrence():
    lookup = Lookup([1, 2, 3, 4, 5, 9, 1, 2, 3, 6, 7, 1, 2], max_tokens=3)
    assert lookup.draft() == [3, 6]
    lookup.learn(drafted=2, accepted=2)
    assert lookup.draft() == [3, 6, 7]


def test_the_longest_match_counts():
    lookup = Lookup([7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2], max_tokens=1)
    assert lookup.draft() == [3]


def test_a_repetition_that_reaches_the_end_goes_on():
    lookup = Lookup([5, 1, 2, 1, 2], max_tokens=5)
    for _ in range(2):
        lookup.learn(drafted=len(lookup.draft()), accepted=len(lookup.draft()))
    assert lookup.draft() == [1, 2, 1, 2, 1]


def test_no_match_no_draft():
    assert Lookup([1, 2, 3, 4], max_tokens=5).draft() == []
    assert Lookup([1], max_tokens=5).draft() == []
    assert Lookup([1, 1, 1, 1], max_tokens=0).draft() == []


def test_what_is_no_text_is_never_guessed():
    assert Lookup([1, 2, 3, -1, -1, 1, 2], max_tokens=4).draft() == [3]
    assert Lookup([1, -1, -1, -1], max_tokens=4).draft() == []


def test_wrong_drafts_make_it_pause_and_right_ones_wake_it():
    lookup = Lookup([1, 2] * 10, max_tokens=8)
    drafts = 0
    for step in range(400):
        draft = lookup.draft()
        drafts += bool(draft)
        if draft:
            lookup.learn(drafted=len(draft), accepted=0)
        lookup.append(1 + step % 2)
    assert drafts < 400 / 20
    while not (draft := lookup.draft()):
        pass
    assert len(draft) == 1
    lengths = []
    for _ in range(5):
        lookup.learn(drafted=len(draft), accepted=len(draft))
        draft = lookup.draft()
        lengths.append(len(draft))
    assert lengths == [2, 4, 8, 8, 8]
