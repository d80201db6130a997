"""Weights files made to harm: each is one error that names the file, and nothing hangs."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import sktransfer
from sktransfer.files import hdf5, isolated
from sktransfer.networks import plan_cut
from sktransfer.weights import (
    draw_weights,
    files as weights_files,
    locate_weights,
    official as official_files,
    read_weights,
)
from sktransfer.weights.files import read_contents

CUT = plan_cut("block1_conv1")
DRAWN = draw_weights(CUT, seed=0)
KERNEL, BIAS = DRAWN["block1_conv1"]
LAYER = "block1_conv1"
LEAD = r"(?s)^Someone cannot read the weights file '.*x\.h5': "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.h5"


def read(path: str | os.PathLike) -> Any:
    return read_weights(path, CUT, who="Someone")


def write(path: Path, bias: Any = None, **storage: Any) -> Path:
    """Write a sound file; `bias(group)` may write the bias in another way."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [LAYER.encode()]
        group = file.create_group(LAYER)
        group.attrs["weight_names"] = [b"kernel", b"bias"]
        group.create_dataset("kernel", data=KERNEL, **storage)
        if bias is None:
            group.create_dataset("bias", data=BIAS, **storage)
        else:
            bias(group)
    return path


def assert_read(path: str | os.PathLike) -> None:
    for values, wanted in zip(read(path)[LAYER], (KERNEL, BIAS), strict=True):
        assert_array_equal(values, wanted)
        assert values.flags.writeable


# -- what leads elsewhere


def external_link(group: h5py.Group) -> None:
    write(Path(group.file.filename).with_name("other.h5"))
    group["bias"] = h5py.ExternalLink("other.h5", f"/{LAYER}/bias")


def soft_link(group: h5py.Group) -> None:
    group.file["elsewhere"] = BIAS
    group["bias"] = h5py.SoftLink("/elsewhere")


def external_storage(group: h5py.Group) -> None:
    raw = Path(group.file.filename).with_name("raw.bin")
    raw.write_bytes(BIAS.tobytes())
    group.create_dataset("bias", BIAS.shape, np.float32, external=[(str(raw), 0, BIAS.nbytes)])


def virtual(group: h5py.Group) -> None:
    other = write(Path(group.file.filename).with_name("other.h5"))
    layout = h5py.VirtualLayout(BIAS.shape, np.float32)
    layout[:] = h5py.VirtualSource(str(other), f"{LAYER}/bias", BIAS.shape)
    group.create_virtual_dataset("bias", layout)


def lzf(group: h5py.Group) -> None:
    group.create_dataset("bias", data=BIAS, compression="lzf")


def huge_chunk(group: h5py.Group) -> None:
    group.create_dataset("bias", BIAS.shape, np.float32, chunks=(1 << 28,), maxshape=(None,))


@pytest.mark.parametrize(
    ("bias", "reason"),
    [
        (external_link, r"its /block1_conv1/bias is a link to another place"),
        (soft_link, r"its /block1_conv1/bias is a link to another place"),
        (external_storage, r"its /block1_conv1/bias is stored in other files"),
        (virtual, r"its /block1_conv1/bias is stored in other files"),
        (
            lzf,
            r"its /block1_conv1/bias is compressed by HDF5's filters \[32000\], of which only",
        ),
        (huge_chunk, r"its .*/bias of shape \(64,\) is stored in parts of shape \(268435456,\)"),
    ],
)
def test_what_no_weights_file_needs_is_refused(bias: Any, reason: str, path: Path) -> None:
    with pytest.raises(OSError, match=LEAD + reason + r".*\. Pass a file that Keras wrote\.$"):
        read(write(path, bias))


def test_a_linked_layer_is_refused(path: Path, tmp_path: Path) -> None:
    write(tmp_path / "other.h5")
    with h5py.File(path, "w") as file:
        file[LAYER] = h5py.ExternalLink("other.h5", LAYER)
    with pytest.raises(OSError, match=LEAD + r"its /block1_conv1 is a link to another place"):
        read(path)


def test_object_references_are_no_weights(path: Path) -> None:
    def references(group: h5py.Group) -> None:
        group.create_dataset("bias", data=[group.ref] * 64, dtype=h5py.ref_dtype)

    with pytest.raises(ValueError, match=r"block1_conv1 of type float32 and object instead of fl"):
        read(write(path, references))


# -- what would take memory or time


def test_shapes_are_compared_before_anything_is_read(path: Path) -> None:
    def huge(group: h5py.Group) -> None:  # nothing is allocated in the file
        group.create_dataset("bias", (1 << 50,), np.float32, chunks=(1 << 20,))

    with pytest.raises(ValueError, match=r"block1_conv1 .* and \(1125899906842624,\) instead of"):
        read(write(path, huge))


def test_a_chunk_that_unpacks_to_more_than_memory_allows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("resource", reason="limits are POSIX's")

    def bomb(group: h5py.Group) -> None:
        array = group.create_dataset(
            "bias", BIAS.shape, np.float32, chunks=BIAS.shape, compression="gzip"
        )
        array.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 29), 1))

    write(path, bomb)
    monkeypatch.setattr(isolated, "_MEMORY", 1 << 29)
    with pytest.raises(OSError, match=LEAD + ".*filter returned failure"):
        read(path)
    # It is the limit that stops it.
    monkeypatch.setattr(isolated, "_MEMORY", 1 << 33)
    assert_array_equal(read(path)[LAYER][1], np.zeros_like(BIAS))


def test_more_groups_than_any_network_has(path: Path) -> None:
    write(path)
    with h5py.File(path, "r+") as file:
        for i in range(hdf5.MAX_ITEMS):
            file.create_group(f"group{i}")
    with pytest.raises(OSError, match=LEAD + "it holds more than 20,000 groups and arrays"):
        read(path)


def test_groups_that_hold_each_other_are_visited_once(path: Path) -> None:
    write(path)
    with h5py.File(path, "r+") as file:
        file[f"{LAYER}/again"] = file[LAYER]
        file[f"{LAYER}/above"] = file["/"]
    assert_read(path)


def test_a_huge_attribute(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group(LAYER)
        group.attrs["weight_names"] = np.zeros(3 << 20, "S1")
    with pytest.raises(OSError, match=LEAD + "the attribute 'weight_names' of /.* takes 3,145,728"):
        read(path)


@pytest.mark.parametrize("names", [3, b"\xff/kernel", [[b"kernel"]], [2.5]])
def test_names_that_are_none(names: Any, path: Path) -> None:
    write(path)
    with h5py.File(path, "r+") as file:
        file[LAYER].attrs["weight_names"] = names
    with pytest.raises((OSError, ValueError), match=r"x\.h5'"):
        read(path)


# -- a process that does not come back

STUBS = {
    "hangs": "while True: pass",
    "sleeps": "import time; time.sleep(600)",
    "crashes": "import os; os.kill(os.getpid(), 11)",
    "exits": "import os; os._exit(3)",
    "is cut off": (
        "import sys, os; sys.stdin.read(); "
        'sys.stdout.write(\'+{"content": [], "attributes": {}, "found": {}, "read": true}\\n'
        "+123')"
    ),
    "talks nonsense": "print('+nonsense')",
    "never stops": "while True: print('+' + 'a' * 1_000_000)",
}
REASONS = {
    "hangs": r"reading it took more than 1 seconds of processor time, so it is probably damaged",
    "sleeps": r"reading it took more than 1 seconds, so it is probably damaged\. Pass",
    "crashes": r"reading it ended the process that did so \(signal 11\), so it is probably damaged",
    "exits": r"reading it ended the process that did so \(exit code 3\), so it is probably damaged",
    "is cut off": r"reading it ended the process that did so \(exit code 0\)",
    "talks nonsense": r"it is an HDF5 file, but truncated or damaged",
    "never stops": r"it is an HDF5 file, but truncated or damaged",
}


@pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX's")
@pytest.mark.parametrize("stub", STUBS)
def test_whatever_the_process_does_is_one_error(
    stub: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 9))\n" * (stub == "hangs")
    program = tmp_path / "program.py"
    program.write_text(limit + STUBS[stub])
    monkeypatch.setattr(isolated.hdf5, "__file__", str(program))
    monkeypatch.setattr(isolated, "CPU_SECONDS", 1)
    if stub == "sleeps":
        monkeypatch.setattr(isolated, "SECONDS", 1)
    n_threads, children = threading.active_count(), _children()
    with pytest.raises(OSError, match=LEAD + REASONS[stub]):
        read(write(path))
    # Neither the process nor what watched it is left behind.
    assert _children() <= children
    assert threading.active_count() <= n_threads


def _children() -> set[str]:
    """List the processes that this one has started, which may be those of other tests."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {number for task in tasks for number in task.read_text().split()}


@pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
def test_limits_are_set() -> None:
    code = (
        "import resource; from sktransfer.files import hdf5; "
        "hdf5._set_limits({'RLIMIT_CPU': 7, 'RLIMIT_AS': 1 << 40}); "
        "print(*(resource.getrlimit(n)[0] for n in (resource.RLIMIT_CPU, resource.RLIMIT_AS)))"
    )
    assert run(code).split() == ["7", str(1 << 40)]


def test_a_process_that_cannot_be_started(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated.spawn, "get_executable", lambda: "/no/such/python")
    with pytest.raises(
        OSError, match=LEAD + "it is read in a separate process, which cannot be started"
    ):
        read(write(path))


# -- which process reads what


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the files that another process reads."""
    names: list[str] = []
    real = isolated.ask

    def ask(request: Any) -> Any:
        names.append(Path(request["file"]).name)
        return real(request)

    monkeypatch.setattr(isolated, "ask", ask)
    return names


def test_known_files_are_read_directly(
    path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read(locate_weights("synthetic", CUT))
    assert asked == []
    monkeypatch.setattr(official_files, "_hashes", {})
    official = official_files._OFFICIAL_FILES["vgg16", False]
    size = write(path).stat().st_size
    monkeypatch.setitem(
        official_files._OFFICIAL_FILES,
        ("vgg16", False),
        official._replace(n_bytes=size, md5=official_files._md5(path)),
    )
    read(path)
    assert asked == []
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)  # of the same size
    read(path)
    assert asked == ["x.h5"]


def test_another_process_reads_a_file_once_until_it_changes(path: Path, asked: list[str]) -> None:
    write(path)
    for _ in range(3):
        assert_read(path)
    assert asked == ["x.h5"]
    os.utime(path, ns=(0, 0))
    assert_read(path)
    assert asked == ["x.h5"] * 2
    # Neither what else is in it, nor another file in its place.
    read_contents(path, everything=True, who="Someone")
    assert asked == ["x.h5"] * 3
    shutil.copy(path, path.with_name("y.h5"))
    path.with_name("y.h5").replace(path)
    assert_read(path)
    assert asked == ["x.h5"] * 4


def test_a_file_that_changes_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = isolated.ask

    def ask(request: Any) -> Any:
        yield from real(request)
        os.utime(path, ns=(0, 0))

    monkeypatch.setattr(isolated, "ask", ask)
    with pytest.raises(OSError, match=LEAD + "it changed while it was read; wait until"):
        read(write(path))
    assert weights_files._identify(path) not in weights_files._read_before


def test_threads_read_at_once(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{i}.h5") for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(assert_read, paths))


# -- where it is read


def run(code: str, cwd: Path | None = None, **environment: str) -> str:
    root = str(Path(sktransfer.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(1, {root!r}); {code}"],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


READ = (
    "from sktransfer.weights import read_weights; from sktransfer.networks import plan_cut; "
    "print(read_weights({!r}, plan_cut('block1_conv1'))['block1_conv1'][0].shape)"
)


def test_modules_in_the_current_folder_are_not_imported(path: Path, tmp_path: Path) -> None:
    write(path)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "h5py.py").write_text("raise ImportError('of the current folder')")
    (folder / "json.py").write_text("raise ImportError('of the current folder')")
    code = f"import os; from sktransfer import weights; os.chdir({str(folder)!r}); "
    assert run(code + READ.format(str(path))).strip() == "(3, 3, 3, 64)"


def test_a_daemonic_worker_reads(path: Path) -> None:
    code = (
        "import multiprocessing as m, functools; from sktransfer.weights import read_weights; "
        "from sktransfer.networks import plan_cut; p = m.get_context('fork').Pool(1); "
        f"f = functools.partial(read_weights, {str(write(path))!r}); "
        "print(p.apply(f, [plan_cut('block1_conv1')])['block1_conv1'][0].shape); p.terminate()"
    )
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    assert run(code).strip() == "(3, 3, 3, 64)"


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_folders_in_latin_1(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9 \xe4\xf6")
    folder.mkdir()
    assert_read(write(folder / "x.h5"))
    os.truncate(folder / "x.h5", 5000)
    with pytest.raises(OSError, match=LEAD + "it is an HDF5 file, but truncated or damaged"):
        read(folder / "x.h5")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_special_files(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match=LEAD + r"it is a named pipe\. Name a file that exists"):
        read(path)
    with pytest.raises(OSError, match=r"Got '.*x\.h5': it is a named pipe\.$"):
        locate_weights(path, CUT)
    with pytest.raises(OSError, match=r"'/dev/null': it is a device\. Name a file that exists"):
        read("/dev/null")


# -- damage

# Two of some thousand mutated files, packed by zlib and base64.
HARMFUL = {
    # HDF5 1.14.6 reads beyond its memory.
    "crash": (
        "eNrtmTFP20AUx+/sEFkQRFCLCKEt/gbAhkoHIwhkQICgA1sakAURISACrWCBMWyMjIyMjHwERkY+AiPfAGzfe47v"
        "cNOWKhP/X4bnO7+cT7n/e5b+OS/Pzff3FntFiOOIjMiLJM+E+GaMiR8UJcUWxWuL5zPRvQLN52l911bjW5r/vloq"
        "hdnPBvycy6yKjgDvkXJpZiWM6zRmPd1Zet5GfW9zZ7Kyudf4OZnUpffG5w6SXk1d52gnMrj6GOymXj32DyqN6q7f"
        "jOZHpIi+mY/3oJQrpdTqhWMuIW4Zjafoui+4dkStsX90WGnWTnyqI4fTPW0dN17XTq07nmj9Zd2VR1F3qLvXdedl"
        "u1t3a0vLczJYhXX3YOv1ErxWlN6zOKP/YWF2eVEKalRmP0o5V263H1Luj2/Uqs2vE9E8HZcYSsvb8Q8afp0yFWcD"
        "OAsAAAAAAAAAAKBbsL9p+ik5sU1+QH/kb/7ya1vbh22Dc8Tq7G+yT2AlfQAyc2z2D5x2jow+bX+J93VDE/dFFf/k"
        "V159FondgPeG6Ve6FJ+Kep5pQbF1xf7X1D8+1/QrW6RbXs/UMUhHih71m0kel1XMyLh3pEXvN/P6/fBfkUK09KA7"
        "Ri3PFcOOGD6lvJ7gBMP7lmVJ1UfUwdkyltKovuP1rv4eSldW3Bcfv3TOZ/1dfIKWOuuqoL2vvFc6erNOpoVe+twR"
        "cAgAAAAAAAAAAAAAAAAAAAAAgK7yAjrumDQ="
    ),
    # It goes round in circles.
    "hang": (
        "eNrt1U1LG0EYB/BndmMY4ooxJsTqwXyAgBG9mINEDBpQieRWkIYYVpsmRpP41l4q9GJv9ewH8CoICha8eBA8Kv0u"
        "gmCdyc7ENa5KvRTh/wubSWZmZ55n9mV+ZtJTXYH+gMk5aX8VGnX+J1T96fn872wmnTNif3Z52X0cBYNEe8zpNqa6"
        "BwwSNZEQ+R6G1Kw5IpMsCosPVQpf7Xq+WlixG/RBnCLGah7OeJwMJqhBdWk5Ta06Ky4H7BT1YrZSdW1jPd8ofbMp"
        "yHW3FBniO9bK8tfC7Y13NttGyL0M2kv5yPwvVWxf1AT+qAzNWqysFsvD+eJqdXN41FBtveSlljiYyE5mZrzn9xjv"
        "Tp14tfTxhzzR+iRXoctZ1i27tPx5/ZV11QHpMuJaV1MHyh/6nM3Xzt6wav5eOS0v2/WqXUkmLtR0/h5Z7V8sFRrJ"
        "xLWpYojTPwnncplmSIwYS4swfYzpodrL1DP1T9rDxHpig/JSN2+aKKfod/GrQ2RjBrjI1MeoT3UeUOUO/Xfm8clA"
        "ay3EPSAvceotuY20PW+H9O6MZ/fHCQCeNz2ZnW0+48G2/VW9od27jXuf0BuYu33IeY8/eqFGvPrpbcAVx043rgUA"
        "AAAAAAAAAAAAAAAAAAAAAAAAAMBr7gH9NskV"
    ),
}


@pytest.mark.skipif(os.name != "posix", reason="limits of time are POSIX's")
@pytest.mark.parametrize("harm", HARMFUL)
def test_files_that_crash_or_hang_the_library(
    harm: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "CPU_SECONDS", 3)
    path.write_bytes(zlib.decompress(base64.b64decode(HARMFUL[harm])))
    with pytest.raises(OSError, match=LEAD + r".*damaged"):
        read(path)


def test_mutated_files_are_read_or_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "CPU_SECONDS", 5)
    rng = np.random.default_rng(0)
    sound = write(tmp_path / "sound.h5").read_bytes()
    places = np.flatnonzero(np.frombuffer(sound, np.uint8))
    places = places[places < sound.index(KERNEL.tobytes()[:64])]
    outcomes = set()
    for i in range(8):
        mutated = bytearray(sound)
        for place in rng.choice(places, 2):
            mutated[place] = rng.integers(256)
        path = tmp_path / f"x{i}.h5"
        path.write_bytes(mutated)
        try:
            read(path)
            outcomes.add("read")
        except (OSError, ValueError) as error:
            assert f"x{i}.h5'" in str(error)
            outcomes.add("refused")
    assert "refused" in outcomes
