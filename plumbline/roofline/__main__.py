"""Writes the roofline page: ``python -m plumbline.roofline --out report/roofline.html``."""

from __future__ import annotations

import argparse
from pathlib import Path

from plumbline.roofline.ceilings import FILE, CeilingsError, read
from plumbline.roofline.page import render


def main() -> None:
    parser = argparse.ArgumentParser(prog="plumbline.roofline", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("report/roofline.html"))
    parser.add_argument("--ceilings", type=Path, default=FILE, help="measured ceilings (default: %(default)s)")
    options = parser.parse_args()
    try:
        text = render(read(options.ceilings))
    except CeilingsError as error:
        parser.error(str(error))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text, encoding="utf-8")
    print(options.out)


if __name__ == "__main__":
    main()
