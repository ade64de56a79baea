"""Every figure: functions of numbers that return a matplotlib `Figure`, or None for no picture.

comparison.py    of `ohgw compare`: anytime curves, times, paired changes, survival, moves
progress.py      of `ohgw tune`: one search
overview.py      one cell of a study on one page
verdict.py       tuples x criteria; the forest of paired changes
across.py        over the cells: performance profiles, sensitivity
probes.py        what probes saw: magnitude against benefit, x to x'
timeline.py      what a scheduler did with its budget
marks.py         what these are made of
"""
