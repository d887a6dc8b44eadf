"""What Docker is asked for: hardened, whatever the order says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain import container
from hostagent.runtime import Order, Published, Pull, Resources, StartFailed, Volume, environment, images
from hostagent.runtime.container_spec import (
    Confinement,
    Held,
    ImageDefaults,
    game_container,
    granted,
    orphans,
    user_of,
    wrapper_container,
)
from hostagent.runtime.graphics import Graphics

ROOT = Path("/var/lib/quarterdeck/sessions")
HOST = Confinement("quarterdeck-abc", "10001:10001", ("python3", "-m", "wrapper"), processors=16)
ALLOWED_SETTINGS = {
    "Binds", "CapDrop", "DeviceRequests", "Devices", "GroupAdd", "Init", "IpcMode", "LogConfig", "Memory",
    "MemorySwap", "NanoCpus", "NetworkMode", "PidMode", "PidsLimit", "PortBindings", "Privileged", "ReadonlyRootfs",
    "RestartPolicy", "SecurityOpt", "ShmSize", "Tmpfs", "Ulimits",
}  # fmt: skip
words = st.text(max_size=30)
paths = st.one_of(
    words, st.sampled_from(["/saves", "/etc", "/proc/x", "/var/run/docker.sock", "/a/../etc", "/", "/a:/b", "/data/x"])
)
orders = st.builds(
    Order,
    session_dir=st.just(ROOT / "game-1.1"),
    image=st.sampled_from(["", "game:1", "registry/game@sha256:" + "a" * 64]),
    pull=st.sampled_from(Pull),
    command=st.lists(words, max_size=4).map(tuple),
    environment=st.dictionaries(
        st.one_of(words, st.sampled_from(["LD_PRELOAD", "NVIDIA_VISIBLE_DEVICES", "MODE"])), words, max_size=4
    ),
    volumes=st.lists(st.builds(Volume, st.sampled_from(["saves", "maps-2"]), paths), max_size=3).map(tuple),
    writable_root=st.booleans(),
    disk_bytes=st.sampled_from([0, 1 << 30]),
    user=st.one_of(st.just(""), words, st.sampled_from(["0", "0:0", "1000", "1000:0", "00", "1000:1000"])),
    ports=st.lists(
        st.builds(Published, st.sampled_from(["tcp", "udp"]), st.integers(1, 65535), st.integers(1, 65535)), max_size=4
    ).map(tuple),
    resources=st.builds(Resources, st.integers(0, 1 << 40), st.integers(0, 1_024_000), st.integers(0, 100_000)),
)
defaults = st.builds(
    ImageDefaults,
    st.just(("serve",)),
    st.just(()),
    st.sampled_from(["", "root", "0", "0:0", "steam", "1000", "1000:5"]),
)


@given(orders, defaults)
def test_no_order_makes_a_container_that_reaches_beyond_its_session(order: Order, image: ImageDefaults) -> None:
    try:
        user = user_of(order, image, HOST)
        bodies = [wrapper_container(order, "wrapper", user, ROOT, HOST)]
        if order.image:
            bodies.append(
                game_container(order, image, user, ROOT, "w1", Path("/var/lib/quarterdeck/launchers/x"), HOST)
            )
    except StartFailed:
        return
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)
    for body in bodies:
        settings = body["HostConfig"]
        assert settings.keys() <= ALLOWED_SETTINGS
        assert body["User"] == user
        assert settings["Privileged"] is False
        assert settings["CapDrop"] == ["ALL"]
        assert settings["SecurityOpt"] == ["no-new-privileges"]
        assert settings["RestartPolicy"] == {"Name": "no"}
        assert settings["NetworkMode"] in ("quarterdeck-abc", "container:w1")
        assert settings["IpcMode"] in ("shareable", "container:w1")
        assert settings.get("PidMode", "container:w1") == "container:w1"
        assert 0 < settings["Memory"] == settings["MemorySwap"]
        assert settings["PidsLimit"] > 0
        assert 0 < settings["NanoCpus"] <= 16_000_000_000
        for bind in settings["Binds"]:
            source, target, *_ = bind.split(":")
            assert source.startswith((str(ROOT / "game-1.1"), "/var/lib/quarterdeck/launchers/"))
            assert ".." not in Path(source).parts
            assert "docker.sock" not in source
            assert not target.startswith(("/proc", "/sys", "/dev", "/etc", "/bin", "/lib"))
        for variable in body["Env"]:
            assert not variable.startswith(("LD_", "NVIDIA_"))
    # The wrapper's own container is written to nowhere but in its session, whatever the game may do.
    assert bodies[0]["HostConfig"]["ReadonlyRootfs"] is True
    assert not any(bind.startswith(f"{ROOT}/game-1.1:") for body in bodies[1:] for bind in body["HostConfig"]["Binds"])


def test_a_deployment_gets_what_it_asks_for() -> None:
    order = Order(
        ROOT / "game-1.1",
        image="game:1",
        command=("serve", "--port", "7777"),
        environment={"MODE": "duel"},
        volumes=(Volume("saves", "/srv/saves"),),
        user="1000",
        ports=(Published("udp", 28001, 7777),),
        resources=Resources(1 << 30, 1500, 64),
    )
    user = user_of(order, ImageDefaults(), HOST)
    wrapper = wrapper_container(order, "wrapper", user, ROOT, HOST)
    game = game_container(order, ImageDefaults(), user, ROOT, "w1", Path("/launcher"), HOST)
    assert wrapper["HostConfig"]["PortBindings"] == {"7777/udp": [{"HostPort": "28001"}]}
    assert game["Cmd"] == ["serve", "--port", "7777"]
    assert "MODE=duel" in game["Env"]
    assert f"{ROOT}/game-1.1/volumes/saves:/srv/saves" in game["HostConfig"]["Binds"]
    limits = game["HostConfig"]
    assert (limits["Memory"], limits["NanoCpus"], limits["PidsLimit"]) == (1 << 30, 1_500_000_000, 64)
    assert limits["ReadonlyRootfs"] is True
    assert game["User"] == "1000:1000"


def test_what_asks_for_no_bounds_gets_the_hosts_own_and_no_more_than_its_ceiling() -> None:
    tight = replace(HOST, defaults=Resources(4 << 30, 8000, 512), ceiling=Resources(2 << 30, 4000, 100))
    assert granted(Resources(), HOST) == HOST.defaults
    assert granted(Resources(), tight) == Resources(2 << 30, 4000, 100)
    assert granted(Resources(2 << 30, 4000, 100), tight) == Resources(2 << 30, 4000, 100)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Resources(memory_bytes=3 << 30), "asks for 3072 MiB of memory; this host grants 2048"),
        (Resources(cpu_millis=4500), "asks for 4.5 processors; this host grants 4"),
        (Resources(pids=101), "asks for 101 processes; this host grants 100"),
    ],
)
def test_what_asks_for_more_than_the_ceiling_is_told_both(asked: Resources, told: str) -> None:
    tight = replace(HOST, ceiling=Resources(2 << 30, 4000, 100))
    with pytest.raises(StartFailed, match=told):
        granted(asked, tight)
    order = Order(ROOT / "game-1.1", image="g", command=("x",), resources=asked)
    with pytest.raises(StartFailed, match=told):
        game_container(order, ImageDefaults(), "1:1", ROOT, "w1", Path("/launcher"), tight)


def test_nobody_gets_more_processors_than_there_are() -> None:
    with pytest.raises(StartFailed, match="this host grants 16"):
        granted(Resources(cpu_millis=16_001), HOST)


def test_host_and_control_plane_refuse_the_same_variables() -> None:
    assert environment.DENIED.pattern == container.DENIED.pattern


CARDS = Graphics(render=("/dev/dri/renderD128",), groups=("104",), nvidia=True)


def test_a_card_is_granted_by_its_number_to_both_and_device_files_to_the_game_alone() -> None:
    host = Confinement("n", "1:1", ("w",), graphics=CARDS)
    order = Order(ROOT / "game-1.1", image="g", command=("x",), gpu_index=2, render=True)
    wrapper = wrapper_container(order, "wrapper", "1:1", ROOT, host)["HostConfig"]
    game = game_container(order, ImageDefaults(), "1:1", ROOT, "w1", Path("/launcher"), host)["HostConfig"]
    for body in (wrapper, game):
        (request,) = body["DeviceRequests"]
        assert (request["Driver"], request["DeviceIDs"]) == ("nvidia", ["2"])
    assert game["Devices"] == [
        {"PathOnHost": "/dev/dri/renderD128", "PathInContainer": "/dev/dri/renderD128", "CgroupPermissions": "rw"}
    ]
    assert game["GroupAdd"] == ["104"]
    assert not {"Devices", "GroupAdd"} & wrapper.keys()


def test_what_nobody_asked_for_is_not_granted() -> None:
    host = Confinement("n", "1:1", ("w",), graphics=CARDS)
    order = Order(ROOT / "game-1.1", image="g", command=("x",))
    bodies = (
        wrapper_container(order, "wrapper", "1:1", ROOT, host),
        game_container(order, ImageDefaults(), "1:1", ROOT, "w1", Path("/launcher"), host),
    )
    for body in bodies:
        assert not {"DeviceRequests", "Devices", "GroupAdd"} & body["HostConfig"].keys()


@pytest.mark.parametrize(
    ("asked", "why"), [({"gpu_index": 0}, "nvidia-container-toolkit"), ({"render": True}, "/dev/dri/renderD")]
)
def test_a_card_that_is_not_there_is_refused_with_the_remedy(asked: dict[str, object], why: str) -> None:
    order = Order(ROOT / "game-1.1", image="g", command=("x",), **asked)
    with pytest.raises(StartFailed, match=why):
        game_container(order, ImageDefaults(), "1:1", ROOT, "w1", Path("/launcher"), HOST)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Order(ROOT, image="g", command=("x",), environment={"LD_PRELOAD": "/x.so"}), "LD_PRELOAD is not allowed"),
        (Order(ROOT, image="g", command=("x",), volumes=(Volume("v", "/etc/ssh"),)), "no volume may lie at '/etc/ssh'"),
        (Order(ROOT, image="g"), "what to run"),
    ],
)
def test_what_is_refused_says_why(order: Order, why: str) -> None:
    with pytest.raises(StartFailed, match=re.escape(why)):
        game_container(order, ImageDefaults(), "1:1", ROOT, "w", Path("/l"), HOST)


def test_root_needs_the_leave_of_the_host() -> None:
    with pytest.raises(StartFailed, match="as root"):
        user_of(Order(ROOT, user="0"), ImageDefaults(), HOST)
    assert user_of(Order(ROOT), ImageDefaults(user="0"), HOST) == "10001:10001"
    trusting = Confinement("n", "10001:10001", ("w",), allow_root=True)
    assert user_of(Order(ROOT, user="0"), ImageDefaults(), trusting) == "0:0"


def test_only_what_nobody_answers_for_is_swept() -> None:
    lives, lost = ROOT / "lives.1", ROOT / "lost.1"
    held = [
        Held("a", "wrapper", lives, "running", 1000),
        Held("b", "game", lives, "exited", 1000),
        Held("c", "wrapper", lost, "running", 1000),
        Held("d", "wrapper", lost, "running", 10),
        Held("e", "game", ROOT / "over.1", "exited", 1000),
    ]
    assert [one.container_id for one in orphans(held, {lives}, {lives, ROOT / "over.1"}, 300)] == ["c", "e"]


@pytest.mark.parametrize(
    ("image", "allowed", "digest", "why"),
    [
        ("game:1", ("other/*",), False, "not on this host's list"),
        ("game:1", ("*",), True, "pinned by digest"),
        ("../etc/passwd", ("*",), False, "not the name of an image"),
        ("-v", ("*",), False, "not the name of an image"),
    ],
)
def test_images_that_are_not_let_in(image: str, allowed: tuple[str, ...], digest: bool, why: str) -> None:
    with pytest.raises(StartFailed, match=re.escape(why)):
        images.check_allowed(image, allowed, digest)


@pytest.mark.parametrize("policy", Pull)
def test_when_the_registry_is_asked(policy: Pull) -> None:
    assert images.must_pull("g", policy, present=True) is (policy is Pull.ALWAYS)
    if policy is Pull.NEVER:
        with pytest.raises(StartFailed, match="may not be pulled"):
            images.must_pull("g", policy, present=False)
    else:
        assert images.must_pull("g", policy, present=False)


def asked_for(order: Order, *declared: str) -> dict[str, Any]:
    image = ImageDefaults(("serve",), volumes=declared)
    return game_container(order, image, "10001:10001", ROOT, "w1", Path("/var/lib/quarterdeck/launchers/x"), HOST)


BOUND = Order(ROOT / "game-1.1", "game:1", volumes=(Volume("world", "/world"),), disk_bytes=1 << 30)


@pytest.mark.parametrize("declared", ["/world", "/world/", "/tmp", "/run"])
def test_what_an_image_keeps_where_it_is_counted_may_be_bound(declared: str) -> None:
    assert f"{ROOT}/game-1.1/volumes/world:/world" in asked_for(BOUND, declared)["HostConfig"]["Binds"]


@pytest.mark.parametrize("declared", ["/maps", "maps/", "/world/maps", "/"])
def test_under_a_bound_an_image_keeps_nothing_where_nobody_counts(declared: str) -> None:
    with pytest.raises(StartFailed, match=r"disk_bytes does not count .*, a volume of its image"):
        asked_for(BOUND, "/world", declared)
    asked_for(replace(BOUND, disk_bytes=0), "/world", declared)


def test_under_a_bound_no_root_is_writable() -> None:
    with pytest.raises(StartFailed, match="disk_bytes counts no writable_root"):
        asked_for(replace(BOUND, writable_root=True))
    asked_for(replace(BOUND, writable_root=True, disk_bytes=0))


def test_a_pull_tells_how_far_it_is_and_why_it_failed() -> None:
    said: list[str] = []
    layer = {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}}
    other = {"id": "b", "status": "Downloading", "progressDetail": {"current": 100, "total": 100}}
    images.follow("g", [{"status": "Pulling"}, {**layer, "id": "a"}, {**layer, "id": "a"}, other], said.append)
    assert said == ["pulling g", "pulling g: 10 %", "pulling g: 55 %"]
    unpacked = {"id": "a", "status": "Extracting", "progressDetail": {"current": 90, "total": 100}}
    images.follow("g", [{**layer, "id": "a"}, unpacked], said.append)
    assert said[-2:] == ["pulling g: 10 %", "unpacking g: 90 %"]
    with pytest.raises(StartFailed, match="g cannot be pulled"):
        images.follow("g", [{"error": "manifest unknown"}], said.append)


# What engines and registries say, word for word, and what it means.
SAYINGS = {
    "manifest for 127.0.0.1:5000/box:2 not found: manifest unknown: manifest unknown": images.ImageNotFound,
    "repository 127.0.0.1:5000/x not found: name unknown: repository name not known to registry": images.ImageNotFound,
    "pull access denied for nobody/none, repository does not exist or may require 'docker login'": images.ImageNotFound,
    "no matching manifest for linux/arm64/v8 in the manifest list entries": images.ImageNotFound,
    'Head "https://r.example/v2/a/manifests/1": no basic auth credentials': images.ImageDenied,
    "unauthorized: authentication required": images.ImageDenied,
    'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused': images.RegistryUnreachable,
    'Get "https://r.invalid/v2/": dial tcp: lookup r.invalid: no such host': images.RegistryUnreachable,
    'Get "https://10.0.0.1/v2/": net/http: request canceled (Client.Timeout exceeded)': images.RegistryUnreachable,
    "received unexpected HTTP status: 503 Service Unavailable": images.RegistryUnreachable,
    "filesystem layer verification failed for digest sha256:4010": images.ImageCorrupt,
    "failed to register layer: Error processing tar file(exit status 1): unexpected EOF": images.ImageCorrupt,
    "failed to register layer: write /x: no space left on device": StartFailed,
    "something that nobody has ever read": StartFailed,
}


@pytest.mark.parametrize("said", SAYINGS)
def test_what_the_engine_says_becomes_a_reason(said: str) -> None:
    error = images.pull_failed("game:1", said)
    assert type(error) is SAYINGS[said]
    assert said in str(error)
