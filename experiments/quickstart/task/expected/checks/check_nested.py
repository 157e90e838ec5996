from probe import check, expect


def met() -> None:
    from intervals import merge, total

    expect("merging one within another", merge([(540, 720), (560, 580)]), [(540, 720)])
    expect("merging with the same start", merge([(1, 9), (1, 2), (8, 10)]), [(1, 10)])
    expect("the total of one within another", total([(540, 720), (560, 580)]), 180)


check(met)
