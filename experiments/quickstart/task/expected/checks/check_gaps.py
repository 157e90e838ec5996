from probe import check, expect


def met() -> None:
    from intervals import free

    busy = [(540, 600), (600, 660)]
    expect("free around a double meeting", free(busy, (480, 720)), [(480, 540), (660, 720)])
    expect("free in a full window", free(busy, (540, 660)), [])


check(met)
