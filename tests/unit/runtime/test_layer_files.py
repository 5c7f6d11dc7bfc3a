"""Where layers' files are, whether they are shown merged or one by one."""

from pathlib import Path

from lambdabox.ports import Layout
from lambdabox.runtime.layer_files import find, search_path

MERGED = Layout("/var/task", ("/opt",), "/var/runtime")


def layers(root: Path) -> list[Path]:
    for number, names in ((1, ("bootstrap", "only")), (2, ("bootstrap",)), (3, ())):
        folder = root / str(number)
        (folder / "extensions").mkdir(parents=True)
        for name in names:
            (folder / name).touch()
    return [root / str(number) for number in (1, 2, 3)]


def test_the_later_layer_comes_first(tmp_path: Path) -> None:
    one_by_one = Layout("/code", ("/a", "/b"), "/runtime")
    assert search_path(one_by_one, "bin") == ["/b/bin", "/a/bin"]
    assert search_path(one_by_one) == ["/b", "/a"]
    assert search_path(MERGED, "lib") == ["/opt/lib"]
    assert search_path(Layout("/code", (), "/runtime"), "bin") == []


def test_the_last_layer_that_has_a_file_gives_it(tmp_path: Path) -> None:
    all_three = layers(tmp_path)
    assert find("bootstrap", all_three, MERGED) == (tmp_path / "2/bootstrap", "/opt/bootstrap")
    apart = Layout("/code", tuple(map(str, all_three)), "/runtime")
    assert find("only", all_three, apart) == (tmp_path / "1/only", f"{tmp_path}/1/only")
    assert find("extensions", all_three, MERGED) is None  # a directory
    assert find("missing", all_three, MERGED) is None
    assert find("missing", [], Layout("/code", (), "/runtime")) is None
