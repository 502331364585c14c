"""How fast, how right, and what changed: a static site that works from a file.

    python -m plumbline.dashboard [--history FOLDER] [--report FOLDER] [--conformance FILE ...] [--mutants FILE]

Writes report/dashboard.html, and what it needs into report/dashboard/. The same files give the same site, byte for byte.
"""
