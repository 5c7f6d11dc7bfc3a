import io
import os
import stat
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.runtime import archive

LIMIT = 10_000_000
CORRUPT = "Could not unzip uploaded file. Please check your file, then try to upload again."
LINK = stat.S_IFLNK | 0o777


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes | str], deflate: bool = True) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if deflate else 0) as writer:
        for name, content in entries:
            writer.writestr(name, content)
    return file.getvalue()


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def unpacked(content: bytes, folder: Path, *, writable: bool = True, limit: int = LIMIT) -> Path:
    source, target = folder / "source.zip", folder / "target"
    source.write_bytes(content)
    archive.unpack(source, target, limit_bytes=limit, writable=writable)
    return target


def refusal(content: bytes, folder: Path, *, limit: int = LIMIT) -> str:
    """Return why the archive is refused, which `inspect` and `unpack` must agree on."""
    with pytest.raises(InvalidParameterValueException) as inspecting:
        archive.inspect(io.BytesIO(content), limit_bytes=limit)
    with pytest.raises(InvalidParameterValueException) as unpacking:
        unpacked(content, folder, limit=limit)
    assert inspecting.value.message == unpacking.value.message
    assert not (folder / "target").exists()
    return inspecting.value.message


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_files_and_directories_are_unpacked(tmp_path: Path) -> None:
    target = unpacked(zipped(("a.py", "one"), ("lib/", ""), ("lib/deep/b.py", "two")), tmp_path)
    assert (target / "a.py").read_text() == "one"
    assert (target / "lib/deep/b.py").read_text() == "two"


def test_inspect_counts_entries_and_declared_bytes(tmp_path: Path) -> None:
    content = zipped(("a", "12345"), ("b", "123"))
    source = tmp_path / "a.zip"
    source.write_bytes(content)
    expected = archive.ArchiveInfo(unzipped_bytes=8, entries=2)
    assert archive.inspect(source, limit_bytes=LIMIT) == expected
    assert archive.inspect(io.BytesIO(content), limit_bytes=LIMIT) == expected


@pytest.mark.parametrize(
    "content",
    [b"not a zip", b"PK\x05\x06", zipped(("a", "b"))[:-5], zipped(("a", "b" * 99))[40:]],
    ids=["text", "end record cut", "end cut", "start cut"],
)
def test_what_is_no_zip_is_refused_in_awss_words(content: bytes, tmp_path: Path) -> None:
    assert refusal(content, tmp_path) == CORRUPT


@pytest.mark.parametrize("content", [b"", zipped()], ids=["no bytes", "no entries"])
def test_an_empty_zip_is_refused_in_awss_words(content: bytes, tmp_path: Path) -> None:
    assert refusal(content, tmp_path) == "Uploaded file must be a non-empty zip"


def test_declared_sizes_are_limited_together(tmp_path: Path) -> None:
    content = zipped(("a", bytes(600)), ("b", bytes(400)))
    assert refusal(content, tmp_path, limit=1000) == "Unzipped size must be smaller than 1000 bytes"
    assert (unpacked(content, tmp_path, limit=1001) / "b").stat().st_size == 400


def test_a_bomb_that_understates_its_size_is_refused_without_inflating_it(tmp_path: Path) -> None:
    honest = zipped(("bomb", bytes(50_000_000)))
    declared = struct.pack("<I", 50_000_000)
    lying = honest.replace(declared, struct.pack("<I", 10))
    with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
        unpacked(lying, tmp_path)
    assert (tmp_path / "target/bomb").stat().st_size <= 10


def test_a_link_that_understates_its_size_is_not_inflated(tmp_path: Path) -> None:
    honest = zipped((entry("link", LINK), bytes(50_000_000)))
    lying = honest.replace(struct.pack("<I", 50_000_000), struct.pack("<I", 10))
    tracemalloc.start()
    try:
        assert refusal(lying, tmp_path) == CORRUPT
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_entry_with_less_than_it_declares_is_refused(tmp_path: Path) -> None:
    honest = zipped(("short", bytes(5000)))
    lying = honest.replace(struct.pack("<I", 5000), struct.pack("<I", 6000))
    with pytest.raises(InvalidParameterValueException, match="declares 6000 bytes and holds 5000"):
        unpacked(lying, tmp_path)


def test_writing_stops_at_the_limit_whatever_was_declared(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(("big", bytes(3_000_000))))) as reader:
        written = archive._extract(reader, reader.infolist()[0], tmp_path / "big", 0o644, 1000)
    assert 1000 < written <= 1000 + archive._CHUNK_BYTES


def test_damaged_content_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(("a", os.urandom(1000)), deflate=False))
    content[500] ^= 1
    with pytest.raises(InvalidParameterValueException) as raised:
        unpacked(bytes(content), tmp_path)
    assert raised.value.message == CORRUPT


def directory_pointing_twice_at_one_entry() -> bytes:
    content = zipped(("aaaa", bytes(1000)))
    start = content.index(b"PK\x01\x02")
    record = content[start : content.index(b"PK\x05\x06")]
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(record), start, 0)
    return content[:start] + record + record.replace(b"aaaa", b"bbbb") + end


def entry_whose_data_is_the_next_entry() -> bytes:
    """The quoted overlap of the densest bombs: the first entry's bytes run into the second."""
    content = bytearray(zipped(("a", b"x" * 10), ("b", b"y" * 10), deflate=False))
    start = content.index(b"PK\x01\x02")
    for offset in (18, 22):  # local sizes
        content[offset : offset + 4] = struct.pack("<I", 30)
    for offset in (start + 20, start + 24):
        content[offset : offset + 4] = struct.pack("<I", 30)
    return bytes(content)


def entry_that_overlaps_by_its_extra_field() -> bytes:
    """Its central record looks harmless; only its local header pushes the data further."""
    content = bytearray(zipped(("a", b"x" * 10), ("b", b"y" * 10), deflate=False))
    content[28:30] = struct.pack("<H", 8)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        directory_pointing_twice_at_one_entry(),
        entry_whose_data_is_the_next_entry(),
        entry_that_overlaps_by_its_extra_field(),
    ],
    ids=["same entry twice", "data runs on", "extra field runs on"],
)
def test_entries_that_share_bytes_are_refused(content: bytes, tmp_path: Path) -> None:
    assert "overlap" in refusal(content, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../escape", "a/../../escape", "a/..", "..", "C:evil", "c:/evil",
        "..\\escape", "a\\b", "/", "//", ".", "a" * 256, "ä" * 128, "a/" * 101 + "b",
        "/".join(["b" * 250] * 9),
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_or_nowhere_are_refused(name: str, tmp_path: Path) -> None:
    assert refusal(zipped((name, "x")), tmp_path).startswith(f"{CORRUPT} The entry ")


def test_an_empty_name_is_refused(tmp_path: Path) -> None:
    assert "its name is empty" in refusal(zipped((entry(""), "data")), tmp_path)


def test_a_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    content = zipped(("good_name", "x")).replace(b"good_name", b"good\0name")
    assert "NUL" in refusal(content, tmp_path)


def test_dots_and_doubled_slashes_in_names_are_dropped(tmp_path: Path) -> None:
    target = unpacked(zipped(("./", ""), ("./a//b.py", "x"), ("a/./c.py", "y")), tmp_path)
    assert sorted(p.name for p in (target / "a").iterdir()) == ["b.py", "c.py"]


def without_utf8_flag(name: bytes, create_system: int) -> bytes:
    content = zipped(("n" * len(name), "x")).replace(b"n" * len(name), name)
    start = content.index(b"PK\x01\x02")
    return content[: start + 5] + bytes([create_system]) + content[start + 6 :]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(zipped(("é.py", "x")), "é.py", id="flag says UTF-8"),
        pytest.param(without_utf8_flag("é.py".encode(), 3), "é.py", id="Unix tool without flag"),
        pytest.param(without_utf8_flag(b"\x82.py", 3), "é.py", id="Unix tool writing cp437"),
        pytest.param(without_utf8_flag(b"\x82.py", 0), "é.py", id="DOS tool"),
        pytest.param(without_utf8_flag("é".encode(), 0), "├⌐", id="DOS tool is taken at its word"),
    ],
)
def test_names_keep_their_letters(content: bytes, expected: str, tmp_path: Path) -> None:
    assert os.listdir(unpacked(content, tmp_path)) == [expected]


def test_a_name_flagged_utf8_that_is_not_is_refused(tmp_path: Path) -> None:
    content = zipped(("éé", "x")).replace("éé".encode(), b"\xff\xfe\xfd\xfc")
    assert refusal(content, tmp_path) == CORRUPT


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0, 0o644),
        (stat.S_IFREG | 0o755, 0o755),
        (stat.S_IFREG | 0o600, 0o644),
        (stat.S_IFREG | 0o700, 0o755),
        (stat.S_IFREG | 0o6755, 0o755),
        (stat.S_IFREG | 0o200, 0o644),
        (0o755, 0o755),
    ],
)
def test_file_modes_are_kept_readable_and_without_special_bits(
    mode: int, expected: int, tmp_path: Path
) -> None:
    assert mode_of(unpacked(zipped((entry("f", mode), "x")), tmp_path) / "f") == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0, 0o755), (stat.S_IFDIR | 0o700, 0o755), (stat.S_IFDIR | 0o1777, 0o777)],
)
def test_directories_can_always_be_entered(mode: int, expected: int, tmp_path: Path) -> None:
    assert mode_of(unpacked(zipped((entry("d/", mode), "")), tmp_path) / "d") == expected


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        target = unpacked(zipped(("a/b", "x")), tmp_path)
    finally:
        os.umask(previous)
    modes = [mode_of(target), mode_of(target / "a"), mode_of(target / "a/b")]
    assert modes == [0o755, 0o755, 0o644]


def test_nothing_is_writable_when_unpacked_read_only(tmp_path: Path) -> None:
    content = zipped((entry("d/", 0o777), ""), (entry("d/f", 0o777), "x"), ("e/g", "y"))
    target = unpacked(content, tmp_path, writable=False)
    modes = {p.relative_to(target).as_posix(): mode_of(p) for p in target.rglob("*")}
    assert modes == {"d": 0o555, "d/f": 0o555, "e": 0o555, "e/g": 0o444}
    assert mode_of(target) == 0o555


def test_times_are_the_same_for_everyone(tmp_path: Path) -> None:
    target = unpacked(zipped(("d/f", "x"), (entry("l", LINK), "d/f")), tmp_path)
    times = {path.lstat().st_mtime for path in [target, *target.rglob("*")]}
    assert times == {archive.MODIFIED_AT}


def test_of_entries_with_one_name_the_last_wins(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped(("a", "first"), ("a", "second"), ("./a", "third"))
    assert (unpacked(content, tmp_path) / "a").read_text() == "third"


def test_a_file_is_no_directory_for_others(tmp_path: Path) -> None:
    assert "'a' is not a directory" in refusal(zipped(("a/b", "x"), ("a", "y")), tmp_path)


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    target = unpacked(
        zipped(
            ("node_modules/tool/cli.js", "x"),
            (entry("node_modules/.bin/tool", LINK), "../tool/cli.js"),
            (entry("lib64", LINK), "lib"),
            (entry("dangling", LINK), "nowhere/yet"),
        ),
        tmp_path,
    )
    assert os.readlink(target / "node_modules/.bin/tool") == "../tool/cli.js"
    assert (target / "node_modules/.bin/tool").read_text() == "x"
    assert os.readlink(target / "lib64") == "lib"
    assert os.readlink(target / "dangling") == "nowhere/yet"


@pytest.mark.parametrize(
    "links",
    [
        {"l": "/etc/passwd"},
        {"l": ".."},
        {"d/l": "../../x"},
        {"l": "d/../../x"},
        # Each looks harmless by its text; followed, the second climbs above the top.
        {"a/b/up": "..", "out": "a/b/up/../../x"},
        {"d": "e/..", "e": "d/.."},
        {"loop": "loop"},
        {"deep": "x/" * 101},
        {"l": ""},
        {"l": "a" * 3000},
        {"l": "a\0b"},
    ],
)
def test_links_that_lead_outside_are_refused(links: dict[str, str], tmp_path: Path) -> None:
    entries = [(entry(name, LINK), target) for name, target in links.items()]
    assert refusal(zipped(*entries), tmp_path).startswith(CORRUPT)


@pytest.mark.parametrize("link_first", [True, False])
def test_nothing_is_written_through_a_link(link_first: bool, tmp_path: Path) -> None:
    entries: list[tuple[zipfile.ZipInfo, str]] = [
        (entry("d", LINK), "real"),
        (entry("d/file"), "x"),
    ]
    content = zipped(*(entries if link_first else reversed(entries)))
    assert "'d' is not a directory" in refusal(content, tmp_path)


def test_a_link_replaced_by_a_later_file_is_not_followed(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped((entry("a", LINK), "/etc/passwd"), (entry("a"), "x"))
    target = unpacked(content, tmp_path)
    assert not (target / "a").is_symlink()
    assert (target / "a").read_text() == "x"


def test_links_that_take_forever_to_follow_are_refused() -> None:
    steps = "/".join(["x", ".."] * 300)
    links: dict[tuple[str, ...], str] = {("a", str(n)): f"{steps}/end" for n in range(5000)}
    with pytest.raises(ValueError, match="too many links"):
        archive.check_links(links)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK])
def test_special_files_are_refused(kind: int, tmp_path: Path) -> None:
    content = zipped((entry("special", kind | 0o644), ""))
    assert "neither a file, a directory nor a link" in refusal(content, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_inflates_without_bound_is_refused(method: int, tmp_path: Path) -> None:
    info = entry("a")
    info.compress_type = method
    assert "neither stored nor deflate" in refusal(zipped((info, "x")), tmp_path)


@pytest.mark.parametrize("flag", [0x01, 0x40, 0x2000])
def test_encrypted_entries_are_refused(flag: int, tmp_path: Path) -> None:
    content = bytearray(zipped(("a", "x")))
    flags = content.index(b"PK\x01\x02") + 8
    content[flags : flags + 2] = struct.pack("<H", flag)
    assert "it is encrypted" in refusal(bytes(content), tmp_path)


def test_the_number_of_entries_is_limited(tmp_path: Path) -> None:
    record = b"PK\x01\x02" + bytes(42)
    content = zipped(("a", "x")) + record * archive.MAX_ENTRIES
    assert "more than 100000 entries" in refusal(content, tmp_path)


def test_the_number_of_implied_directories_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 500)
    content = zipped(*((f"{n}/" + "d/" * 90 + "f", "") for n in range(6)))
    assert "more than 500 directories" in refusal(content, tmp_path)


def test_zip64_is_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w") as writer,
        writer.open(entry("big"), "w", force_zip64=True) as content,
    ):
        content.write(b"hello")
    assert (unpacked(file.getvalue(), tmp_path) / "big").read_bytes() == b"hello"


class Unseekable(io.RawIOBase):
    """Makes zipfile write data descriptors, as streaming tools do."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer in the original
        self.content += bytes(data)
        return len(data)


def test_data_descriptors_are_read(tmp_path: Path) -> None:
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("a", "one")
        writer.writestr("b", "two")
    target = unpacked(stream.content, tmp_path)
    assert ((target / "a").read_text(), (target / "b").read_text()) == ("one", "two")


def test_prepended_data_is_skipped(tmp_path: Path) -> None:
    content = b"#!/usr/bin/env python3\n" + zipped(("a", "x"))
    assert (unpacked(content, tmp_path) / "a").read_text() == "x"


def test_a_trailing_comment_is_allowed(tmp_path: Path) -> None:
    file = io.BytesIO(zipped(("a", "x")))
    with zipfile.ZipFile(file, "a") as writer:
        writer.comment = b"made by a build server"
    assert (unpacked(file.getvalue(), tmp_path) / "a").read_text() == "x"


def test_an_existing_target_is_not_blamed_on_the_archive(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(FileExistsError):
        unpacked(zipped(("a", "x")), tmp_path)


names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\\\0"), min_size=1, max_size=20)
    .filter(lambda part: part not in (".", "..") and ":" not in part[:2]),
    min_size=1,
    max_size=4,
).map("/".join)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=200), min_size=1, max_size=6), st.booleans())
def test_what_was_zipped_comes_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], deflate: bool
) -> None:
    parents = {"/".join(n.split("/")[:i]) for n in files for i in range(1, n.count("/") + 1)}
    files = {name: content for name, content in files.items() if name not in parents}
    content = zipped(*files.items(), deflate=deflate)
    target = unpacked(content, tmp_path_factory.mktemp("zip"))
    found = {
        path.relative_to(target).as_posix(): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    assert found == files


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab./\\:\0C\n ä"), max_size=12))
@example("a/../b")
def test_an_accepted_name_is_a_plain_path_below_the_top(name: str) -> None:
    try:
        parts = archive.entry_path(name)
    except ValueError:
        return
    resolved = os.path.normpath(os.path.join("/top", *parts))
    assert resolved == "/top" or resolved.startswith("/top/")
    assert not {"", ".", ".."} & set(parts)
    assert not any("/" in part or "\0" in part or "\\" in part for part in parts)


link_targets = st.lists(st.sampled_from(["..", ".", "a", "b", "c", ""]), max_size=5).map("/".join)
link_paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map(tuple)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(link_paths, link_targets, max_size=5))
def test_accepted_links_stay_inside_for_the_kernel_too(
    tmp_path_factory: pytest.TempPathFactory, links: dict[tuple[str, ...], str]
) -> None:
    """Create what is accepted and let the kernel resolve it."""
    links = {p: t for p, t in links.items() if not any(p[:n] in links for n in range(1, len(p)))}
    try:
        archive.check_links(links)
    except ValueError:
        return
    top = tmp_path_factory.mktemp("outer") / "top"
    top.mkdir()
    for path, target in links.items():
        top.joinpath(*path).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, top.joinpath(*path))
    for path in links:
        resolved = os.path.realpath(top.joinpath(*path))
        assert resolved == str(top) or resolved.startswith(f"{top}/")


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_is_refused_or_harmless_but_never_an_unknown_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(
        zipped(("a/b", b"x" * 50), (entry("l", LINK), "a/b"), ("c", zlib.compress(b"y" * 99)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    try:
        target = unpacked(bytes(content), folder)
    except InvalidParameterValueException:
        target = folder / "target"
    assert set(os.listdir(folder)) <= {"source.zip", "target"}
    for path in target.rglob("*"):
        assert os.path.realpath(path).startswith(str(target))
