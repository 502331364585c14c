"""How fast an implementation is: measured in turns, recorded, compared with what it was, shown over time.

    python -m plumbline.speed [--quick] [--compare BASE] ...

A *record* is one run: pytest-benchmark's JSON with what is ours under ``extra_info`` and ``plumbline`` (record.py). A *series*
is one benchmark of one implementation on one kind of machine over many records (history.py).
"""
