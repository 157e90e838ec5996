from probe import check, expect


def met() -> None:
    from intervals import load

    expect("the load of a full window", load([(540, 600)], (540, 600)), 100)
    expect("the load of a third", load([(540, 560)], (540, 600)), 34)
    expect("the load of nothing", load([], (540, 600)), 0)


check(met)
