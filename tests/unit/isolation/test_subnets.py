"""Which part of a subnet a node takes for its sandboxes."""

import pytest

from lambdabox.isolation.warden.subnets import free_blocks, parse


@pytest.mark.parametrize("text", ["198.18.0.0/15", "10.0.0.0/8", "192.0.2.240/28"])
def test_a_subnet_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "give an IPv4 subnet"),
        ("198.18.0.0", "ends in its length"),
        ("198.18.0.0/", "ends in its length"),
        ("198.18.0.0/-1", "ends in its length"),
        ("198.18.0.0/7", "from /8 to /28"),
        ("198.18.0.0/29", "from /8 to /28"),
        ("198.18.0.0/1٣", "ends in its length"),
        ("198.18/15", "give an IPv4 subnet"),
        ("fd00::/64", "give an IPv4 subnet"),
        ("host.example/16", "give an IPv4 subnet"),
        ("198.18.0.1/15", "not the first address"),
    ],
)
def test_what_is_no_subnet_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse(text)


def test_addresses_are_numbered() -> None:
    subnet = parse("198.18.32.0/20")
    assert subnet.size == 4_096
    assert subnet.address(1) == "198.18.32.1"
    assert subnet.address(4_095) == "198.18.47.255"
    assert subnet.number("198.18.47.255") == 4_095


@pytest.mark.parametrize("number", [-1, 4_096])
def test_a_subnet_has_no_other_addresses(number: int) -> None:
    with pytest.raises(ValueError, match="no address number"):
        parse("198.18.32.0/20").address(number)


def blocks(
    routes: list[tuple[str, int]], *, seed: int = 0, subnet: str = "198.18.0.0/18"
) -> list[str]:
    return [str(block) for block in free_blocks(parse(subnet), routes, seed)]


ALL = ["198.18.0.0/20", "198.18.16.0/20", "198.18.32.0/20", "198.18.48.0/20"]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        pytest.param([], ALL, id="no routes"),
        pytest.param([("0.0.0.0", 0), ("128.0.0.0", 1)], ALL, id="default routes are for anything"),
        pytest.param([("192.0.2.0", 24)], ALL, id="elsewhere"),
        pytest.param([("198.18.16.0", 20)], [ALL[0], *ALL[2:]], id="another node"),
        pytest.param([("198.18.17.1", 32)], [ALL[0], *ALL[2:]], id="one address in it"),
        pytest.param([("198.18.0.0", 19)], ALL[2:], id="wider than a block"),
        pytest.param([("198.16.0.0", 12)], [], id="around it all"),
    ],
)
def test_blocks_that_the_host_has_routes_to_are_left_out(
    routes: list[tuple[str, int]], expected: list[str]
) -> None:
    assert blocks(routes) == expected


def test_the_search_begins_where_the_seed_points() -> None:
    assert blocks([], seed=6) == ALL[2:] + ALL[:2]


def test_a_small_subnet_is_one_block() -> None:
    assert blocks([], seed=5, subnet="192.0.2.0/24") == ["192.0.2.0/24"]
