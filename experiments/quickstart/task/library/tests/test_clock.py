from intervals import parse, show


def test_a_text_is_read_as_minutes_since_midnight():
    assert parse("09:00-10:30") == (540, 630)


def test_what_was_shown_can_be_read_again():
    assert parse(show((545, 601))) == (545, 601)


def test_an_interval_that_ends_before_it_starts_is_refused():
    try:
        parse("10:30-09:00")
    except ValueError as error:
        assert "10:30-09:00" in str(error)
    else:
        raise AssertionError("accepted")
