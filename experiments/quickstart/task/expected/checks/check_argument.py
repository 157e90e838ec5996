from probe import check, expect


def met() -> None:
    from intervals import merge, total

    given = [(700, 760), (540, 600), (590, 610)]
    before = list(given)
    expect("merge", merge(given), [(540, 610), (700, 760)])
    expect("after merge its argument", given, before)
    total(given)
    expect("after total its argument", given, before)


check(met)
