from probe import check, expect


def met() -> None:
    from intervals import clip, free, merge, parse, show, total

    expect("merging nothing", merge([]), [])
    expect("merging two that overlap", merge([(20, 40), (10, 30)]), [(10, 40)])
    expect("merging two far apart", merge([(50, 60), (10, 20)]), [(10, 20), (50, 60)])
    expect("clip", clip([(0, 9), (12, 30), (40, 50)], (5, 20)), [(5, 9), (12, 20)])
    expect("total", total([(10, 30), (20, 40), (50, 51)]), 31)
    expect("free of an empty day", free([], (0, 9)), [(0, 9)])
    expect("free around one meeting", free([(3, 4)], (0, 9)), [(0, 3), (4, 9)])
    expect("parse", parse("09:05-10:30"), (545, 630))
    expect("show", show((545, 630)), "09:05-10:30")


check(met)
