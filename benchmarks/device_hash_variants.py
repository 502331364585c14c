# ruff: noqa: B023
"""Which way of hashing on the device is fastest. Decides constants, then goes.

python -m benchmarks.device_hash_variants --out FILE
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from blake3 import blake3

MIB = 1 << 20
# lanes, warps, fan, width, copy
VARIANTS = [
    (32, 1, 64, 4, False), (32, 1, 32, 4, False), (32, 1, 128, 4, False), (32, 1, 256, 4, False),
    (64, 2, 64, 4, False), (64, 2, 256, 4, False), (64, 1, 64, 4, False), (64, 1, 256, 4, False),
    (128, 4, 128, 4, False), (128, 4, 256, 4, False), (128, 2, 128, 4, False),
    (32, 1, 64, 1, False), (64, 2, 64, 1, False),
    (32, 1, 64, 16, False), (64, 2, 64, 16, False),
    (32, 1, 64, 4, True), (64, 2, 64, 4, True),
]  # fmt: skip
CASES = {
    "0.1": [0.1], "1.5": [1.5], "15": [15], "36": [36], "112": [112], "512": [512],
    "64x1.5": [1.5] * 64, "256x0.1": [0.1] * 256,
}  # fmt: skip


def warm(variant) -> float:
    from optimized.blake3_kernel import hashing

    lanes, warps, fan, width, copy = variant
    torch.cuda.init()
    began = time.perf_counter()
    hashing.warmup(0, 1, 0, 0, 0, lanes, fan, copy, width, num_warps=warps, grid=(1,))
    return time.perf_counter() - began


def median_us(run, rounds: int = 40) -> float:
    for _ in range(4):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)


def events_us(run, rounds: int = 30) -> float:
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    pairs = []
    for _ in range(rounds):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(100_000)  # the host is ahead, so that its launch is not in the time
        a.record()
        run()
        b.record()
        torch.cuda.synchronize()
        pairs.append(a.elapsed_time(b) * 1e3)
    return statistics.median(pairs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("device-hash-variants.json"))
    options = parser.parse_args()
    began = time.time()
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        compiled = pool.map(warm, VARIANTS, chunksize=1)
    print(f"compiled in {time.time() - began:.1f} s:", " ".join(f"{s:.1f}" for s in compiled), flush=True)
    from optimized import blake3_triton as host
    from optimized.blake3_kernel import hashing

    cuda = torch.device("cuda", 0)
    workspace = host.Workspace(cuda)
    rng = np.random.default_rng(0)
    tensors, wanted, copies = {}, {}, {}
    for name, sizes in CASES.items():
        arrays = [rng.integers(0, 256, int(size * MIB), dtype=np.uint8) for size in sizes]
        wanted[name] = [blake3(a.data, max_threads=8).digest() for a in arrays]
        tensors[name] = [torch.from_numpy(a).to(cuda) for a in arrays]
        copies[name] = [torch.zeros_like(t) for t in tensors[name]]
    odd = [int(n) for n in [0, 1, 63, 64, 65, 1023, 1024, 1025, 32768, 32769, 65537, *rng.integers(0, 1 << 18, 200)]]
    raw = [rng.integers(0, 256, n, dtype=np.uint8) for n in odd]
    tensors["odd"], wanted["odd"] = [torch.from_numpy(a).to(cuda) for a in raw], [blake3(a.data).digest() for a in raw]
    copies["odd"] = [torch.zeros_like(t) for t in tensors["odd"]]
    torch.cuda.synchronize()
    rows = []
    for variant in VARIANTS:
        host.LANES, host.WARPS, host.FAN, host.WIDTH, copy = variant
        compiled_kernel = hashing.warmup(
            0, 1, 0, 0, 0, host.LANES, host.FAN, copy, host.WIDTH, num_warps=host.WARPS, grid=(1,)
        )
        compiled_kernel._init_handles()
        row = {"variant": variant, "regs": compiled_kernel.n_regs, "spills": compiled_kernel.n_spills}
        for name in tensors:
            into = copies[name] if copy else None
            for again in range(3):
                right = workspace.run(tensors[name], into) == wanted[name]
                if copy:
                    right = right and all(map(torch.equal, into, tensors[name]))
                assert not workspace.counters.any(), (variant, name, "counters")
                if not right:
                    print("WRONG", variant, name, again, flush=True)
        row["kernel"] = {}
        for name in CASES:
            into = copies[name] if copy else None
            items, programs = len(tensors[name]), grid(host, tensors[name])
            workspace.run(tensors[name], into)
            row["kernel"][name] = round(events_us(lambda: launch(host, workspace, items, programs, copy)), 1)
        rows.append(row)
        print(variant, row["regs"], row["spills"], row["kernel"], flush=True)

    best = min((r for r in rows if not r["variant"][4]), key=lambda r: r["kernel"]["36"])["variant"]
    host.LANES, host.WARPS, host.FAN, host.WIDTH, _ = best
    print("best for 36:", best)
    calls = {}
    stream = torch.cuda.current_stream(cuda)
    compiled_kernel = hashing.warmup(0, 1, 0, 0, 0, best[0], best[2], False, best[3], num_warps=best[1], grid=(1,))
    for name in CASES:
        ts = tensors[name]
        items, programs = len(ts), grid(host, ts)
        workspace.run(ts, None)
        device_table = torch.empty_like(workspace.table, device=cuda)
        found = {"digests": median_us(lambda: host.digests(ts)), "run": median_us(lambda: workspace.run(ts, None))}

        def host_time() -> float:
            torch.cuda.synchronize()
            began = time.perf_counter()
            launch(host, workspace, items, programs, False)
            return time.perf_counter() - began

        host_time()
        found["launch on the host"] = 1e6 * statistics.median(host_time() for _ in range(40))

        def direct() -> None:
            compiled_kernel[(programs, 1, 1)](
                *arguments(workspace, items, workspace.table), best[0], best[2], False, best[3]
            )

        def direct_time() -> float:
            torch.cuda.synchronize()
            began = time.perf_counter()
            direct()
            return time.perf_counter() - began

        direct_time()
        found["direct launch on the host"] = 1e6 * statistics.median(direct_time() for _ in range(40))

        def launch_and_wait() -> None:
            launch(host, workspace, items, programs, False)
            stream.synchronize()

        def copied_and_wait() -> None:
            device_table.copy_(workspace.table, non_blocking=True)
            launch(host, workspace, items, programs, False, table=device_table)
            stream.synchronize()

        found["launch and wait"] = median_us(launch_and_wait)
        found["table copied, launch and wait"] = median_us(copied_and_wait)
        found["kernel, table copied before"] = events_us(
            lambda: launch(host, workspace, items, programs, False, table=device_table)
        )
        source, target = torch.cat(ts), torch.cat(ts)
        found["device copy of as many bytes"] = events_us(lambda: target.copy_(source))
        found["copy and wait"] = median_us(lambda: (target.copy_(source), stream.synchronize()))
        calls[name] = {k: round(v, 1) for k, v in found.items()}
        print(name, calls[name], flush=True)
    options.out.write_text(json.dumps({"gpu": torch.cuda.get_device_name(), "variants": rows, "calls": calls}) + "\n")


def grid(host, ts) -> int:
    return sum(-(-max(-(-t.nbytes // 1024), 1) // host.LANES) for t in ts)


def arguments(workspace, items: int, table):
    own = (workspace.nodes, workspace.counters, workspace.digests)
    return (table.data_ptr(), items, *(tensor.data_ptr() for tensor in own))


def launch(host, workspace, items: int, programs: int, copy: bool, table=None) -> None:
    """Of the tensors whose table is in the workspace, since they ran last."""
    from optimized.blake3_kernel import hashing

    table = workspace.table if table is None else table
    constants = (host.LANES, host.FAN, copy, host.WIDTH)
    hashing[(programs,)](*arguments(workspace, items, table), *constants, num_warps=host.WARPS)


if __name__ == "__main__":
    main()
