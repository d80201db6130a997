"""Changes inside a format that leave its frame whole: checksums, tables and lengths still agree.

Bytes changed at random mostly stop at the first checksum. These reach what lies behind it.
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import struct
import zipfile
import zlib
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.mutate import INTEGERS, mutate_bytes, mutate_json_text

# -- archives of NumPy

_DESCRIPTIONS = (
    *(
        "|O",
        "<U1",
        "<U100000000",
        "|S0",
        "<M8[ns]",
        "|V8",
        "<c8",
        "<f2",
        "<f8",
        ">i4",
        "<u8",
        "|b1",
    ),
    *("", "f", "nonsense", [("a", "<f4")], [], ("<f4", (2,)), "<f4,<f4", None, 3, "<i99"),
)
_SHAPES = (
    *((), (0,), (1,), (-1,), (2**40,), (2**63,), (2**31, 2**31), (1 << 20, 0), (True,), "text"),
    *((1.5,), None, ((1,),), (5, 5), (2,) * 70, (0, 2**62)),
)


def mutate_npz(rng: Random, data: bytes) -> bytes:
    """Change one member of an archive of arrays, or how it is kept there."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    kind = rng.random()
    if kind < 0.4:
        content = _npy(rng, content)
    elif kind < 0.5:
        content = mutate_bytes(rng, content, [])
    elif kind < 0.6 and content[:6] == b"\x93NUMPY":
        values = np.load(io.BytesIO(content))
        if values.dtype.kind == "U" and values.ndim == 0:
            content = _save(np.array(mutate_json_text(rng, str(values))))
        else:
            content = _save(_other_values(rng, values))
    elif kind < 0.7:
        name = rng.choice(
            ("", "../up.npy", "/root.npy", "a" * 300, "state.npy", "X", "y", "\u00fc.npy")
        )
    elif kind < 0.8:
        members.append(rng.choice(members))
    elif kind < 0.9:
        return _zip([*members[:at], *members[at + 1 :]], rng)
    else:
        content = b"\0" * rng.choice((0, 1, 1 << 16, 1 << 22))
    members[at] = name, content
    packed = _zip(members, rng)
    if rng.random() < 0.15:  # an encrypted or unknown kind of member
        place = packed.find(b"PK\x01\x02")
        changed = bytearray(packed)
        changed[place + rng.choice((6, 8, 10))] ^= rng.choice((1, 8, 0x40))
        packed = bytes(changed)
    return packed


def _npy(rng: Random, content: bytes) -> bytes:
    """Write another header before the values of an array."""
    try:
        values = np.load(io.BytesIO(content))
    except (ValueError, EOFError, OSError):
        return content
    header = {
        "descr": np.lib.format.dtype_to_descr(values.dtype),
        "fortran_order": False,
        "shape": values.shape,
    }
    key = rng.choice(list(header))
    if key == "descr":
        header[key] = rng.choice(_DESCRIPTIONS)
    elif key == "shape":
        header[key] = rng.choice(_SHAPES)
    else:
        header[key] = rng.choice((True, None, 1, "text"))
    if rng.random() < 0.1:
        del header[key]
    text = repr(header)
    if rng.random() < 0.1:
        text = rng.choice(("{" * 1000, "(" * 9000, "{}", "[]", "9" * 5000, "-" * 5000 + "1", "\0"))
    encoded = text.encode() + b"\n"
    version = rng.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\0\0", b"\xff\xff"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(encoded))
    return b"\x93NUMPY" + version + length + encoded + values.tobytes()


def _other_values(rng: Random, values: np.ndarray) -> np.ndarray:
    """Give an array another type, shape or content."""
    others: list[Any] = [
        values.astype("S8") if values.dtype.kind in "biuf" else values,
        np.full(values.shape, np.nan),
        np.full(values.shape, 2**63, np.uint64),
        values[:0] if values.ndim else values,
        values[..., None],
        np.zeros((*values.shape, 0)),
        np.array("text"),
        np.array([b"\xff\xfe"] * max(1, values.shape[0] if values.ndim else 1)),
        np.array(["\ud800"] * max(1, values.shape[0] if values.ndim else 1)),
        np.zeros(values.shape, [("a", "<f4")]),
        np.zeros(values.shape, complex),
        np.zeros(values.shape, "M8[s]"),
    ]
    return rng.choice(others)


def _save(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _zip(members: list[tuple[str, bytes]], rng: Random) -> bytes:
    file = io.BytesIO()
    # The last ones take milliseconds to set up.
    kind = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) * 15 + (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    )
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members:
            # A ZipInfo of its own: it says nothing of names that stand twice.
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            if name in archive.NameToInfo:
                del archive.NameToInfo[name]
            archive.writestr(info, content)
    return file.getvalue()


# -- HDF5


def mutate_hdf5(rng: Random, data: bytes) -> bytes:
    """Change an attribute, a data set or a link of a file, with HDF5 itself."""
    import h5py

    content = io.BytesIO(data)
    with h5py.File(content, "r+") as file:
        names: list[str] = ["/"]
        file.visit(names.append)
        item = file[rng.choice(names)]
        kind = rng.random()
        if kind < 0.5:
            _attribute(rng, file if rng.random() < 0.4 else item)
        elif kind < 0.75 and isinstance(item, h5py.Dataset):
            _dataset(rng, item.parent, item.name.rsplit("/", 1)[-1], item)
        else:
            _link(rng, item if isinstance(item, h5py.Group) else item.parent)
    return content.getvalue()


def _attribute(rng: Random, item: Any) -> None:
    import h5py

    known = list(item.attrs) or ["weight_names"]
    name = rng.choice([*known, "input_size", "weight_names", "recipe", "name"])
    old = item.attrs.get(name)
    kind = rng.random()
    if kind < 0.1:
        item.attrs.pop(name, None)
    elif kind < 0.45 and isinstance(old, str | bytes):
        text = old.decode() if isinstance(old, bytes) else old
        item.attrs[name] = (
            mutate_json_text(rng, text).replace("\0", "").encode("utf-8", "replace")[:60_000]
        )
    elif kind < 0.55:
        item.attrs.create(name, b"\xff\xfe\xc3", dtype=h5py.string_dtype("utf-8"))
    elif kind < 0.6:
        item.attrs.create(name, shape=(3,), dtype=h5py.vlen_dtype(np.int32))
    elif kind < 0.65:
        item.attrs[name] = item.ref
    elif kind < 0.7:
        item.attrs[name] = h5py.Empty("f4")
    else:
        values: tuple[Any, ...] = (
            *(
                0,
                -1,
                32,
                31,
                2**40,
                2**63,
                1.5,
                float("nan"),
                True,
                "text",
                b"",
                b"a/b",
                "x" * 9000,
            ),
            *(np.array([]), np.array([b"a"]), np.array([b"block1_conv1/kernel:0"] * 3), [[1, 2]]),
            *(np.array([b"../.."]), np.array([b"/"]), np.array([b""]), np.zeros((2, 2))),
            *(np.zeros(2, [("a", "i4")]), np.float16(3), np.array([b"x" * 100] * 500)),
        )
        item.attrs[name] = rng.choice(values)


def _dataset(rng: Random, parent: Any, name: str, old: Any) -> None:
    shape, values = old.shape, np.zeros(old.shape, "f4")
    del parent[name]
    kind = rng.randrange(10)
    if kind == 0:  # declared, and never written
        size = rng.choice((1 << 20, 1 << 34, 1 << 40))
        parent.create_dataset(name, shape=(size, *shape[1:]), dtype="f4", chunks=(1, *shape[1:]))
    elif kind == 1:
        parent.create_dataset(
            name, shape=shape, dtype="f4", external=[("/etc/hostname", 0, 1 << 20)]
        )
    elif kind == 2:
        parent.create_dataset(
            name, data=values.astype(rng.choice(("f2", "f8", "i4", "S4", "?", "c8")))
        )
    elif kind == 3:
        parent.create_dataset(name, data=np.full(shape, rng.choice((np.nan, np.inf, 1e39)), "f8"))
    elif kind == 4:
        parent.create_dataset(name, data=values.reshape(-1))
    elif kind == 5:
        parent.create_group(name)
    elif kind == 6:
        parent.create_dataset(name, data=values, fletcher32=True, shuffle=True, compression="gzip")
    elif kind == 7:
        import h5py

        layout = h5py.VirtualLayout(shape=shape, dtype="f4")
        layout[...] = h5py.VirtualSource(rng.choice((".", "/etc/hostname", "none.h5")), name, shape)
        parent.create_virtual_dataset(name, layout)
    elif kind == 8:
        parent.create_dataset(name, data=3.0)
    else:
        parent.create_dataset(name, data=np.array([b"text"] * 5))


def _link(rng: Random, group: Any) -> None:
    import h5py

    members = list(group)
    name = rng.choice([*members, "block1_conv1", "vars", "model_weights", "0", "layers"])
    kind = rng.randrange(6)
    if kind == 5:
        deep = "/".join(["g"] * rng.choice((3, 3, 3, 50, 400)))
        group.require_group(deep)
        return
    if name in group:
        del group[name]
    if kind == 0:
        group[name] = h5py.SoftLink(rng.choice(("/", ".", f"/{name}", "/nowhere", group.name)))
    elif kind == 1:
        group[name] = h5py.ExternalLink(rng.choice(("other.h5", "/dev/zero", ".", "")), "/")
    elif kind == 2:
        group[name] = group.file["/"]
    elif kind == 3:
        group[name] = np.dtype("f4")


# -- SQLite


def mutate_sql(rng: Random, data: bytes) -> bytes:
    """Change rows, their types, or the tables themselves, with SQLite itself."""
    original = bytearray(data)
    modes = bytes(original[18:20])
    original[18:20] = b"\1\1"  # a database with a log cannot be opened in memory
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        database.deserialize(bytes(original))
        tables = dict(database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'"))
        table = rng.choice([name for name in tables if not name.startswith("sqlite_")])
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        for _ in range(rng.choice((1, 1, 2, 3))):
            try:
                _change_table(rng, database, table, columns, tables[table])
            except (sqlite3.Error, OverflowError, UnicodeEncodeError):
                continue
        changed = bytearray(database.serialize())
    finally:
        database.close()
    changed[18:20] = modes
    return bytes(changed)


def _change_table(rng: Random, database: Any, table: str, columns: list[str], sql: str) -> None:
    column = rng.choice(columns)
    kind = rng.random()
    if kind < 0.6:
        if rng.random() < 0.5:  # constraints gone, any value goes anywhere
            database.execute("PRAGMA writable_schema = ON")
            free = sql.replace(" NOT NULL", "").replace("INTEGER PRIMARY KEY", "ANY")
            database.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (free, table))
            (version,) = database.execute("PRAGMA schema_version").fetchone()
            database.execute(f"PRAGMA schema_version = {version + 1}")
        value = rng.choice(
            (None, 0, -1, 2**63 - 1, -(2**63), 1.5, float("inf"), "text", "", b"", b"\0" * 32, "\0")
        )
        where = rng.choice(("", " WHERE rowid % 2 = 0", f" WHERE rowid = {rng.randrange(1, 9)}"))
        database.execute(f'UPDATE "{table}" SET "{column}" = ?{where}', (value,))
    elif kind < 0.7:
        database.execute(f'DELETE FROM "{table}"{rng.choice(("", " WHERE rowid % 2"))}')
    elif kind < 0.75:
        database.execute(f'UPDATE "{table}" SET "{column}" = "{rng.choice(columns)}"')
    elif kind < 0.8:
        database.execute(f'UPDATE "{table}" SET "{column}" = CAST("{column}" AS TEXT)')
    elif kind < 0.85:
        database.execute(f'ALTER TABLE "{table}" DROP COLUMN "{column}"')
    elif kind < 0.9:
        database.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO other')
    elif kind < 0.92:
        database.execute(f'DROP TABLE "{table}"')
    elif kind < 0.95:
        database.execute(f"PRAGMA user_version = {rng.choice((0, 2, 3, 99, -1))}")
    else:
        _hostile_schema(rng, database, table, columns)


def _hostile_schema(rng: Random, database: Any, table: str, columns: list[str]) -> None:
    if rng.random() < 0.5:
        database.execute(
            f'CREATE TRIGGER t AFTER INSERT ON "{table}" BEGIN DELETE FROM "{table}"; END'
        )
        return
    database.execute(f'DROP TABLE "{table}"')
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    selected = ", ".join(f"x AS {name}" for name in columns)
    database.execute(f'CREATE VIEW "{table}" AS {endless} SELECT {selected} FROM c')


# -- PNG


def mutate_png(rng: Random, data: bytes) -> bytes:
    """Change a chunk, and compute its checksum anew."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    i = rng.randrange(len(chunks))
    name, content = chunks[i]
    kind = rng.random()
    if kind < 0.25 and name == b"IHDR":
        fields = list(struct.unpack(">IIBBBBB", content))
        field = rng.randrange(7)
        fields[field] = rng.choice(INTEGERS) % (1 << 32) if field < 2 else rng.randrange(17)
        chunks[i] = name, struct.pack(">IIBBBBB", *fields)
    elif kind < 0.5:
        chunks[i] = name, mutate_bytes(rng, content, [])
    elif kind < 0.6 and name == b"IDAT":
        lines = b"\0" * rng.choice((0, 1, 100, 1 << 20))
        chunks[i] = name, zlib.compress(lines)
    elif kind < 0.7:
        chunks.insert(i, rng.choice(chunks))
    elif kind < 0.8:
        del chunks[i]
    else:
        kinds = (
            b"tRNS",
            b"PLTE",
            b"eXIf",
            b"iCCP",
            b"zTXt",
            b"iTXt",
            b"acTL",
            b"fcTL",
            b"fdAT",
            b"gAMA",
        )
        extra = rng.choice(
            (
                rng.randbytes(rng.choice((0, 1, 2, 6, 26, 255))),
                b"a\0\0" + zlib.compress(bytes(1 << 20)),
            )
        )
        chunks.insert(rng.randrange(1, len(chunks) + 1), (rng.choice(kinds), extra))
    return data[:8] + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


# -- tables of text

_CELLS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e-400",
        "-1",
        "256",
        "1.5",
        "0x10",
        "1_000",
        "\u0663",
    ),
    *(
        '"',
        '""',
        '"a,b"',
        '"a\nb"',
        "'",
        "\0",
        "\u00bd",
        "=1+1",
        "9" * 400,
        "x" * 140_000,
        "\ufeff",
    ),
    *("label", "path", "\u2028", "\r", "\x1a", "\x85", "\x1c", "1,2", "True", "#"),
)


def mutate_table(rng: Random, data: bytes) -> bytes:
    """Change a cell, a line, or how a table of text is written."""
    packed = data[:2] == b"\x1f\x8b"
    text = (gzip.decompress(data) if packed else data).decode("utf-8-sig", "surrogateescape")
    lines = text.splitlines(keepends=True) or [""]
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(lines))
        kind = rng.random()
        if kind < 0.5:
            cells = lines[at].split(",")
            cells[rng.randrange(len(cells))] = rng.choice(_CELLS)
            lines[at] = ",".join(cells)
        elif kind < 0.6:
            lines.insert(at, rng.choice(lines) * rng.choice((1, 1, 50)))
        elif kind < 0.7 and len(lines) > 1:
            del lines[at]
        elif kind < 0.8:
            lines[at] = lines[at].rstrip("\r\n") + rng.choice(("\r", "\r\n", "", ",", "\n\n"))
        elif kind < 0.9:
            lines[at] = lines[at].replace(",", rng.choice((";", "\t", ",,", ", ")), 1)
        else:
            lines[at] = rng.choice(_CELLS) + lines[at]
    changed = "".join(lines)
    encoding = rng.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "latin-1", "utf-32"))
    encoded = changed.encode(encoding, "surrogateescape" if encoding == "utf-8" else "replace")
    if rng.random() < (0.9 if packed else 0.03):
        encoded = gzip.compress(encoded, mtime=0)
    return encoded


def mutate_json_bytes(rng: Random, data: bytes) -> bytes:
    """Change a file of JSON."""
    try:
        text = data.decode()
        json.loads(text)
    except ValueError:
        return mutate_bytes(rng, data, [])
    return mutate_json_text(rng, text).encode("utf-8", "surrogatepass")
