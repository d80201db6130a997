"""What a billion images cost: computed from measured rates, and a simulated cluster.

    python benchmarks/scale.py docs/measured/benchmarks.json docs/scale.md

Puts its tables into docs/scale.md, each behind the comment with its name. Those whose parts were
not measured stay as they are.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Row, format_rows_as_markdown
from tables import put

from sktransfer.networks import list_layers, plan_cut

N_IMAGES = 10**9
_CUT = "block5_pool"
_SIZES = (32, 224)
_TB = 1e12
#: What a host and its surroundings are taken to be, where nothing of the kind was measured.
CORES_PER_HOST = 32
STORE_BYTES_PER_S = 5e9
LINK_BYTES_PER_S = 1.25e9


# -- what follows from shapes and rates


def storage() -> list[Row]:
    """Compute what features of a billion images take as float32, whole and pooled."""
    rows = []
    for layer in list_layers("vgg16", 224):
        if layer.kind not in ("pool", "flatten", "dense"):
            continue
        width = plan_cut(layer.name).n_features
        row: Row = {"layer": layer.name, "values_224": width, "tb_224": _terabytes(width)}
        is_map = layer.kind == "pool"
        pooled = plan_cut(layer.name, pooling="avg").n_features if is_map else None
        row |= {"values_pooled": pooled, "tb_pooled": pooled and _terabytes(pooled)}
        small = None if layer.kind == "dense" else plan_cut(layer.name, input_size=32).n_features
        row |= {"values_32": small, "tb_32": small and _terabytes(small)}
        rows.append(row)
    return rows


def _terabytes(width: int) -> float:
    return N_IMAGES * width * 4 / _TB


def core_hours(results: Row) -> list[Row]:
    """Compute core-hours of the network alone, from the rates of each engine."""
    rows = []
    for size in _SIZES:
        for row in results["parts"].get(f"engines-{size}", {}).get("rows", []):
            if row["transform_over_engine"] is None:
                continue  # another framework
            core_s = results["host"]["cores"] / row["images_per_s"]
            hours = N_IMAGES * core_s / 3600
            rows.append(
                {
                    "size": size,
                    "engine": row["engine"],
                    "precision": row["precision"],
                    "images_per_core_s": 1 / core_s,
                    "core_hours": round(hours),
                    "days_on_1000_cores": hours / 1000 / 24,
                }
            )
    return rows


def device_hours(results: Row) -> list[Row]:
    """Compute device-hours, from the rates of whatever accelerator was measured."""
    rows = []
    for row in results["parts"].get("accelerator", {}).get("rows", []):
        hours = N_IMAGES / row["images_per_s"] / 3600
        keys = ("backend", "device", "precision", "batch", "images_per_s")
        rows.append({key: row[key] for key in keys} | {"device_hours": round(hours)})
    return rows


def decoding(results: Row) -> list[Row]:
    """Compute core-hours and bytes of decoding, from the rates of the files that were measured."""
    rows = []
    for row in results["parts"].get("throughput", {}).get("rows", []):
        if row["precision"] != "float32":
            continue
        cores = results["host"]["cores"]
        rows.append(
            {
                "files": row["files"],
                "size": row["size"],
                "decode_core_hours": round(N_IMAGES * cores / row["decode_images_per_s"] / 3600),
                "engine_core_hours": round(N_IMAGES * cores / row["engine_images_per_s"] / 3600),
                "read_tb": N_IMAGES * row["bytes_per_file"] / _TB,
                "pooled_written_tb": _terabytes(512),
            }
        )
    return rows


# -- a simulated cluster


@dataclass(frozen=True)
class Cluster:
    """What works together, and what each image costs it.

    Attributes
    ----------
    n_workers : int
        Processes with one thread each.
    cores_per_host, n_hosts : int
        Where they run, evenly spread.
    compute_s : float
        Seconds in which one core decodes and computes an image.
    read_bytes, written_bytes : float
        Per image.
    task_s : float
        Seconds that the scheduler needs for a task; one at a time.
    images_per_task : int
        In each block.
    store_bytes_per_s, link_bytes_per_s : float
        What the store gives and takes in all, and what one host's network does.
    """

    n_workers: int
    cores_per_host: int
    n_hosts: int
    compute_s: float
    read_bytes: float
    written_bytes: float
    task_s: float
    images_per_task: int
    store_bytes_per_s: float = STORE_BYTES_PER_S
    link_bytes_per_s: float = LINK_BYTES_PER_S


def simulate(cluster: Cluster, tasks_per_worker: int = 20) -> tuple[float, dict[str, float]]:
    """Play how workers take tasks and queue for what they share: first come, first served.

    A task is handed out by the scheduler, read from the store over the host's link, computed on a
    core of the host, and written the same way. A worker does one after the other.

    Returns
    -------
    images_per_s : float
        All workers together.
    busy : dict of str to float
        The share of the time in which each of the shared things is busy.
    """
    # Times at which each server of each queue is free again.
    free: dict[tuple[str, int], list[float]] = {("scheduler", 0): [0.0], ("store", 0): [0.0]}
    for host in range(cluster.n_hosts):
        free["cores", host] = [0.0] * cluster.cores_per_host
        free["link", host] = [0.0]
    used = dict.fromkeys(("scheduler", "store", "link", "cores"), 0.0)
    n = cluster.images_per_task
    read, written = cluster.read_bytes * n, cluster.written_bytes * n
    stages = (
        ("scheduler", cluster.task_s),
        ("store", read / cluster.store_bytes_per_s),
        ("link", read / cluster.link_bytes_per_s),
        ("cores", cluster.compute_s * n),
        ("link", written / cluster.link_bytes_per_s),
        ("store", written / cluster.store_bytes_per_s),
    )
    # Who wants what next, by the time of asking.
    asking = [(0.0, worker, 0) for worker in range(cluster.n_workers)]
    left = cluster.n_workers * tasks_per_worker - cluster.n_workers
    end = 0.0
    while asking:
        now, worker, stage = heapq.heappop(asking)
        name, seconds = stages[stage]
        host = worker % cluster.n_hosts if name in ("cores", "link") else 0
        servers = free[name, host]
        done = max(now, servers[0]) + seconds
        heapq.heapreplace(servers, done)
        used[name] += seconds
        end = max(end, done)
        if stage + 1 < len(stages):
            heapq.heappush(asking, (done, worker, stage + 1))
        elif left:
            left -= 1
            heapq.heappush(asking, (done, worker, 0))
    n_servers = {
        name: sum(len(servers) for (each, _), servers in free.items() if each == name)
        for name in used
    }
    busy = {name: seconds / (end * n_servers[name]) for name, seconds in used.items()}
    return cluster.n_workers * tasks_per_worker * n / end, busy


def check(results: Row) -> list[Row]:
    """Compare the simulation with the workers that were measured on this host.

    Nothing is fitted to them: seconds per image are those of engine and decoding by themselves.
    """
    cores = results["host"]["cores"]
    rows = []
    for row in results["parts"].get("workers", {}).get("rows", []):
        costs = _costs(results, row["files"], row["size"])
        if costs is None:
            continue
        cluster = Cluster(
            row["workers"],
            cores,
            1,
            task_s=row["task_ms"] / 1000,
            images_per_task=row["images_per_task"],
            # Within one host, nothing goes over a link, and files are in memory.
            **costs | {"read_bytes": 0, "written_bytes": 0},
        )
        rate, _ = simulate(cluster, tasks_per_worker=max(1, 8 // row["workers"]))
        rows.append(
            {
                "files": row["files"],
                "size": row["size"],
                "workers": row["workers"],
                "measured_images_per_s": row["images_per_s"],
                "simulated_images_per_s": rate,
                "simulated_over_measured": rate / row["images_per_s"],
            }
        )
    return rows


def growth(results: Row) -> list[Row]:
    """Simulate more and more workers, and name what is busiest."""
    rows = []
    for kind, size in _measured_cases(results):
        costs = _costs(results, kind, size)
        task_ms = [row["task_ms"] for row in results["parts"]["workers"]["rows"]]
        assert costs is not None
        for n_workers in (1, 32, 320, 3200, 12800):
            n_hosts = max(1, n_workers // CORES_PER_HOST)
            cluster = Cluster(
                n_workers,
                CORES_PER_HOST,
                n_hosts,
                task_s=min(task_ms) / 1000,
                images_per_task=256,
                **costs,
            )
            rate, busy = simulate(cluster, tasks_per_worker=5)
            if n_workers < CORES_PER_HOST:  # cores that nobody was to use
                busy["cores"] *= CORES_PER_HOST / n_workers
            busiest = max(busy, key=lambda name: busy[name])
            rows.append(
                {
                    "files": kind,
                    "size": size,
                    "workers": n_workers,
                    "images_per_s": round(rate),
                    "days": N_IMAGES / rate / 86400,
                    "of_linear": rate / n_workers * cluster.compute_s,
                    "busiest": busiest,
                    "busy": busy[busiest],
                }
            )
    return rows


def _measured_cases(results: Row) -> Iterator[tuple[str, int]]:
    found = [(row["files"], row["size"]) for row in results["parts"]["workers"]["rows"]]
    yield from dict.fromkeys(found)


def _costs(results: Row, kind: str, size: int) -> dict[str, float] | None:
    """Return what an image costs, from `throughput`: float32, decoded and computed."""
    for row in results["parts"].get("throughput", {}).get("rows", []):
        if (row["files"], row["size"], row["precision"]) == (kind, size, "float32"):
            per_core = 1 / row["engine_images_per_s"] + 1 / row["decode_images_per_s"]
            return {
                "compute_s": results["host"]["cores"] * per_core,
                "read_bytes": row["bytes_per_file"],
                "written_bytes": 4 * plan_cut(_CUT, pooling="avg").n_features,
            }
    return None


def all_tables(results: Row) -> dict[str, str]:
    """Lay out every table whose parts were measured."""
    found: dict[str, list[Row]] = {
        "storage": storage(),
        "core-hours": core_hours(results),
        "device-hours": device_hours(results),
    }
    if "throughput" in results["parts"]:
        found["decoding"] = decoding(results)
        if "workers" in results["parts"]:
            found["check"] = check(results)
            found["more-workers"] = growth(results)
    return {name: format_rows_as_markdown(rows) for name, rows in found.items() if rows}


def main(measured: str, page: str) -> None:
    """Write the page anew."""
    results: dict[str, Any] = json.loads(Path(measured).read_text(encoding="utf-8"))
    text = Path(page).read_text(encoding="utf-8")
    Path(page).write_text(put(text, all_tables(results)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
