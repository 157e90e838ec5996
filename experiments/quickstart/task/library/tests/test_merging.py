from intervals import clip, merge, total


def test_overlapping_intervals_become_one():
    assert merge([(540, 600), (570, 630)]) == [(540, 630)]


def test_intervals_far_apart_stay_as_they_are():
    assert merge([(540, 600), (700, 760)]) == [(540, 600), (700, 760)]


def test_the_order_of_the_input_does_not_matter():
    assert merge([(700, 760), (540, 600)]) == [(540, 600), (700, 760)]


def test_nothing_merges_to_nothing():
    assert merge([]) == []


def test_clip_cuts_at_both_ends_of_the_window():
    assert clip([(500, 560), (590, 700)], (540, 600)) == [(540, 560), (590, 600)]


def test_total_counts_shared_minutes_once():
    assert total([(540, 600), (570, 630)]) == 90
