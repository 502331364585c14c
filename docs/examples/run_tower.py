"""What a processor made of an image and a video, through a fast tower, to the rows of a step.

python -m docs.examples.run_tower
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from optimized import implementation
from plumbline.certify import certify
from plumbline.interface import Budgets, Checkpoint, Chunk, DevicePort, LoadedTower, Rows, Runtime
from plumbline.rig import HostPort
from plumbline.small_tower import checkpoint, values

IMAGE, VIDEO, VOCABULARY = 1000, 1001, 1000


# region load
def load(folder: Path, port: DevicePort) -> LoadedTower:
    tower = implementation.tower(Checkpoint(folder, torch.bfloat16, IMAGE, VIDEO, VOCABULARY), port)
    certificate = certify(
        tower
    )  # finds the row floor and sets it; keep certificate.to_json(), and check() it next time
    certificate.check(tower)
    return tower


# endregion


# region step
def rows(tower: LoadedTower, port: DevicePort, token_ids: Tensor, processed: dict[str, Tensor]) -> Rows:
    runtime = Runtime(tower.spec, port, Budgets(cache_bytes=1 << 30, patches_per_call=16_384, item_patches=65_536))
    identify = implementation.identify(runtime)
    encoder, cache = implementation.encoder(runtime, tower), implementation.cache(runtime)
    embed = implementation.embed(runtime, encoder, cache)

    request = implementation.collect(tower.spec)("r1", token_ids, processed)
    (prepared,) = implementation.prepare(runtime, identify)([request])
    embed.admit(prepared)
    step = embed.step([Chunk("r1", 0, len(token_ids))])
    step.settle()
    embed.finish("r1")
    return step.results[0]


# endregion


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        port = HostPort()
        tower = load(checkpoint(folder, family="qwen3_vl"), port)
        print(f"{tower.spec.name}: hidden size {tower.spec.hidden_size}, {tower.spec.side_levels} side levels")
        # As transformers' processor leaves them: an image of 4 x 6 patches, a video of two frames of 4 x 4.
        processed = {
            "pixel_values": values((24, 1536), "image"),
            "image_grid_thw": torch.tensor([[1, 4, 6]]),
            "pixel_values_videos": values((32, 1536), "video"),
            "video_grid_thw": torch.tensor([[2, 4, 4]]),
        }
        frame = [VIDEO] * 4
        token_ids = torch.tensor([7, *[IMAGE] * 6, 8, 9, *frame, 10, *frame, 11])
        found = rows(tower, port, token_ids, processed)
        print(f"{len(found.positions)} rows, at {found.positions.tolist()}")


if __name__ == "__main__":
    main()
