"""Sign-in by cookie, protection against other origins' pages, the web files and their headers."""

import httpx
import pytest
import pytest_asyncio

from controlplane.gateway.serve import listening
from controlplane.gateway.signin import COOKIE
from controlplane.gateway.site import create_site
from controlplane.gateway.target import open_channel
from tests.component.gateway.conftest import until_ready
from tests.component.gateway.control_plane import CODE, TOKEN, Accounts, Streaming, control_plane

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("site")
    folder = tmp_path / "web"
    (folder / "vendor").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>the page")
    (folder / "vendor" / "module.js").write_text("export {}")
    (folder / ".hidden").write_text("hidden")
    (tmp_path / "outside.txt").write_text("outside")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(web):
    accounts = Accounts()
    async with (
        control_plane(accounts, Streaming()) as grpc_port,
        open_channel(f"127.0.0.1:{grpc_port}") as channel,
        listening(create_site(channel, web=web), "127.0.0.1", 0) as port,
    ):
        yield accounts, f"http://127.0.0.1:{port}"


@pytest_asyncio.fixture(loop_scope="module")
async def site(served):
    """A browser of its own for each test."""
    accounts, base_url = served
    accounts.signed_out = False
    async with httpx.AsyncClient(base_url=base_url) as client:
        await until_ready(client)
        yield client


def own_origin(site):
    return {"origin": str(site.base_url).rstrip("/")}


async def signed_in(site):
    return await site.post("/signin", json={"code": CODE}, headers=own_origin(site))


async def test_a_code_becomes_a_cookie_that_scripts_cannot_read(site):
    answer = await signed_in(site)
    assert answer.status_code == 200
    assert answer.json() == {
        "expireTime": "2100-01-01T00:00:00Z",
        "account": {"project": "p", "subject": "s", "role": "ROLE_OPERATOR", "release": "1.2.3"},
    }
    assert TOKEN not in answer.text
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={TOKEN};")
    for word in ("HttpOnly", "SameSite=strict", "Path=/", "expires=Fri, 01 Jan 2100"):
        assert word in cookie
    assert "Secure" not in cookie  # this one came over http


async def test_the_cookie_is_secure_behind_https(site):
    headers = {"x-forwarded-proto": "https", "origin": str(site.base_url).rstrip("/").replace("http", "https")}
    answer = await site.post("/signin", json={"code": CODE}, headers=headers)
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_bad_code_is_a_status(site):
    answer = await site.post("/signin", json={"code": "wrong"}, headers=own_origin(site))
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert "set-cookie" not in answer.headers
    unknown = await site.post("/signin", json={"kode": CODE})
    assert unknown.json()["message"].startswith("kode: ")
    assert (await site.post("/signin", content=b"x" * 5000)).status_code == 413


async def test_the_cookie_speaks_for_the_browser_until_it_signs_out(site):
    assert (await site.get("/v1/account")).status_code == 401
    await signed_in(site)
    assert (await site.get("/v1/account")).json()["subject"] == "s"
    out = await site.post("/signout", headers=own_origin(site))
    assert (out.status_code, out.json()) == (200, {})
    assert "1970" in out.headers["set-cookie"]
    assert COOKIE not in site.cookies
    assert (await site.get("/v1/account", headers={"cookie": f"{COOKIE}={TOKEN}"})).status_code == 401  # revoked


async def test_an_authorization_header_goes_before_the_cookie(site):
    await signed_in(site)
    assert (await site.get("/v1/account", headers={"authorization": "Bearer other"})).status_code == 401
    made = await site.post("/v1/account:createSignInCode", headers={"authorization": f"Bearer {TOKEN}"})
    assert made.status_code == 200  # no cookie is used, so no Origin is asked for


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
async def test_a_change_by_cookie_needs_this_origins_own_page(site, headers, status):
    await signed_in(site)
    answer = await site.post("/v1/account:createSignInCode", headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"]


async def test_this_origins_own_page_may_change(site):
    await signed_in(site)
    assert (await site.post("/v1/account:createSignInCode", headers=own_origin(site))).status_code == 200


async def test_a_cookie_that_is_no_token_is_ignored(site):
    answer = await site.get("/v1/account", headers={"cookie": f'{COOKIE}="a b"; x=y'})
    assert answer.status_code == 401


async def test_pages_come_with_their_headers_and_are_asked_about_again(site):
    page = await site.get("/")
    assert (page.status_code, page.text) == (200, "<!doctype html>the page")
    assert page.headers["cache-control"] == "no-cache"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    again = await site.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    module = await site.get("/vendor/module.js")
    assert "javascript" in module.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["/nothing.js", "/vendor", "/vendor/", "/.hidden", "/link.txt", "/..%2foutside.txt", "/%00", "/a%0ab",
             "/" + "x" * 5000, "//etc/passwd"],
)  # fmt: skip
async def test_what_is_no_file_of_the_pages_is_a_status(site, path):
    answer = await site.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, 5)


async def test_answers_of_the_api_are_not_stored(site):
    assert (await site.get("/v1/account")).headers["cache-control"] == "no-store"
