"""What a pattern of the proto asks for, in words: nobody should have to read a regular expression to mend a request.

One vocabulary for all messages; a test finds every pattern that has no words here.
"""

from __future__ import annotations

import re

DASHED = "lower-case letters, digits and dashes"
WORDS = {
    "[a-z0-9][a-z0-9-]{0,62}": f"an id: up to 63 {DASHED}, not a dash first",
    "[a-z][a-z0-9-]{0,62}": f"an id: up to 63 {DASHED}, a letter first",
    "[A-Za-z][A-Za-z0-9-]{0,62}": "an id: up to 63 letters, digits and dashes, a letter first",
    "[A-Za-z][A-Za-z0-9_.-]{0,63}": "up to 64 letters, digits, dots, dashes and underscores, a letter first",
    "[A-Za-z0-9._:-]{0,128}": "up to 128 letters, digits and . _ : -",
    "[a-z][a-z0-9-]{0,30}": f"up to 31 {DASHED}, a letter first",
    "[a-z][a-z0-9_]{0,62}": "up to 63 lower-case letters, digits and underscores, a letter first",
    "[a-z][a-z0-9_.]{0,99}": "up to 100 lower-case letters, digits, dots and underscores, a letter first",
    "[a-z][a-z0-9.@_-]{0,127}": "up to 128 lower-case letters, digits and . @ _ -, a letter first, such as ci or "
    "alice@example.org",
    "[a-z_]{0,64}": "up to 64 lower-case letters and underscores",
    "[a-z0-9]{0,20}": "up to 20 lower-case letters and digits",
    "[a-z0-9-]{1,64}": f"up to 64 {DASHED}",
    "[A-Z][A-Z0-9_]{0,62}": "up to 63 capital letters, digits and underscores, a letter first",
    "[A-Za-z_][A-Za-z0-9_]{0,99}": "the name of a variable: up to 100 letters, digits and underscores, no digit first",
    "[A-Z]{2}": "a country or territory by its two capital letters (ISO 3166-1), such as DE",
    "[A-Z]{3}": "a currency by its three capital letters (ISO 4217), such as EUR",
    "[0-9a-f]{64}": "a SHA-256: 64 hexadecimal digits, lower-case",
    "[0-9]{1,9}(:[0-9]{1,9})?": "UID or UID:GID, such as 1000:1000",
    "[^\\x00-\\x1f\\x7f]*": "one line of text, without tabs and other control characters",
    "[a-z0-9][A-Za-z0-9._/:@-]*": "an image's name, such as registry.example/games/harbour:1 or …@sha256:…",
    "(/[A-Za-z0-9._-]+)+": "an absolute path of letters, digits, dots, dashes and underscores, such as /data",
    "/[!-~]*": "a path that starts with /, without spaces",
    "[a-z][A-Za-z]{0,40}(/[a-z0-9][a-z0-9-]{0,62})?": "a kind of resource or a resource, such as sessions or vms/local",
    "((vms|pools)/[a-z0-9][a-z0-9-]{0,62}|templates/[A-Za-z][A-Za-z0-9-]{0,62})": "vms/ID, pools/ID or templates/ID",
    "(backups/[a-z0-9][a-z0-9-]{0,62}|saves/[a-z0-9][a-z0-9-]{0,62}/versions/[1-9][0-9]{0,8})": "backups/ID or "
    "saves/ID/versions/NUMBER",
    "vms/[a-z0-9][a-z0-9-]{0,62}/ports/(tcp|udp)-[1-9][0-9]{0,4}": "a port's name, such as vms/local/ports/tcp-27015",
}
_OPTIONAL = re.compile(r"\((.*)\)\?")
_COLLECTION = re.compile(r"([a-z][A-Za-z]*)/\[[^/]*")
_BELOW = re.compile(r"/([a-z]+)/\[1-9\]\[0-9\]\{0,8\}$")


def words_for(pattern: str) -> str:
    """What follows "must be"; "" for a pattern without words."""
    bare = pattern.removeprefix("^").removesuffix("$")
    optional = _OPTIONAL.fullmatch(bare)
    if optional and bare not in WORDS:
        inner = words_for(optional[1])
        return f"{inner}, or left out" if inner else ""
    if bare in WORDS:
        return WORDS[bare]
    below, collection = _BELOW.search(bare), _COLLECTION.match(bare)
    if not collection:
        return ""
    name = f"{collection[1]}/ID" + (f"/{below[1]}/NUMBER" if below else "/log" if bare.endswith("/log") else "")
    return f"a name of the form {name}"
