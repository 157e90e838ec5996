from probe import check


def met() -> None:
    from intervals import merge

    merge([(540, 600), (600, 600)])  # of no length is no mistake
    for intervals in ([(600, 540)], [(500, 520), (600, 540)]):
        try:
            merge(intervals)
        except ValueError:
            continue
        raise AssertionError(f"merge took {intervals}")


check(met)
