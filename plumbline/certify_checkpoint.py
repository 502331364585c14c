"""Certifies the tower of a checkpoint where it is to run, or checks that an earlier certificate still holds there.

    python -m plumbline.certify_checkpoint FOLDER --device cuda:0 --out certificate.json
    python -m plumbline.certify_checkpoint FOLDER --device cuda:0 --check certificate.json

The row floor in the certificate is what the tower's ``row_floor`` is to be set to. Exit status: 0 invariant; 1 not,
or not as certified; 2 there is no such tower, certificate or option.

Without a checkpoint at hand: ``--made-up FAMILY`` takes that family's released sizes with made-up weights, since a floor
depends on shapes and not on weights.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from plumbline.certify import Certificate, NotCertified, certify
from plumbline.interface import BadCheckpoint, Checkpoint, LoadedTower
from plumbline.real_sizes import SIZES
from plumbline.resolve import SpecError, resolve
from plumbline.rig import port_of
from plumbline.small_tower import checkpoint

PLACES = {"image_token_id": 1, "video_token_id": 2, "vocab_size": 1}
"""Belong to the language model; no bit of a row depends on them."""


def load(options: argparse.Namespace, scratch: Path) -> LoadedTower:
    """Raises BadCheckpoint and SpecError."""
    maker = resolve(options.impl).implementation.tower
    if maker is None:
        raise SpecError(f"{options.impl!r} brings no tower")
    folder = options.folder
    if options.made_up:
        with torch.device(options.device):
            folder = checkpoint(scratch, family=options.made_up, **SIZES[options.made_up])
    return maker(Checkpoint(folder, getattr(torch, options.dtype), **PLACES), port_of(torch.device(options.device)))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--made-up", choices=SIZES, help="in the place of a folder")
    parser.add_argument("--impl", default="optimized", help="whose tower; a spec string")
    parser.add_argument("--dtype", default="bfloat16", choices=["bfloat16", "float16", "float32", "float64"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="where the certificate goes; standard output without it")
    parser.add_argument("--check", type=Path, metavar="CERTIFICATE", help="measures nothing")
    options = parser.parse_args(argv)
    if (options.folder is None) == (options.made_up is None):
        parser.error("name one of a folder and --made-up")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            tower = load(options, Path(scratch))
            if options.check:
                certificate = Certificate.from_json(options.check.read_text(encoding="utf-8"))
                tower.row_floor = certificate.row_floor or 1
            else:
                certificate = certify(tower)
            certificate.check(tower)
        except (BadCheckpoint, SpecError, OSError) as error:
            parser.error(str(error))
        except NotCertified as error:
            print(f"not invariant here: {error}", file=sys.stderr)
            return 1
    print(f"{certificate.tower}: invariant with a row floor of {certificate.row_floor}", file=sys.stderr)
    if options.out:
        options.out.write_text(certificate.to_json() + "\n", encoding="utf-8")
    elif not options.check:
        print(certificate.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
