from probe import check, expect


def met() -> None:
    from intervals import merge

    expect("merging two that touch", merge([(540, 600), (600, 660)]), [(540, 660)])
    expect("merging a chain", merge([(3, 4), (1, 2), (2, 3)]), [(1, 4)])
    expect("merging a minute apart", merge([(1, 2), (3, 4)]), [(1, 2), (3, 4)])


check(met)
