from intervals import free, load


def test_a_meeting_in_the_middle_leaves_two_gaps():
    assert free([(600, 660)], (540, 720)) == [(540, 600), (660, 720)]


def test_an_empty_day_is_free():
    assert free([], (540, 720)) == [(540, 720)]


def test_a_fully_booked_morning_has_no_gaps():
    morning = [(540, 600), (600, 660), (660, 720)]
    assert free(morning, (540, 720)) == []
    assert load(morning, (540, 720)) == 100
