"""Certifies the tower of slices on this machine: python -m docs.examples.certify_tower"""

from __future__ import annotations

import torch

from docs.examples.slice_tower import SliceTower
from plumbline.certify import Certificate, NotCertified, certify


def main() -> None:
    torch.set_num_threads(1)
    # region certify
    tower = SliceTower()
    certificate = certify(tower)
    print(f"invariant: {certificate.invariant}, row floor {tower.row_floor}, items {', '.join(certificate.items)}")

    saved = certificate.to_json()
    Certificate.from_json(saved).check(tower)  # nothing is raised: the same tower, in the same setting
    try:
        Certificate.from_json(saved).check(SliceTower(row_floor=tower.row_floor + 1))
    except NotCertified as error:
        print(error)
    # endregion


if __name__ == "__main__":
    main()
