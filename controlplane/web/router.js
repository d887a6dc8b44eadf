// Which page an address means. Addresses live in the fragment, so that a sign-in code never reaches a server log.

const SESSION = /^[a-z0-9][a-z0-9-]{0,62}$/;

/**
 * `#/signin/<code>[/play/<session>]`, `#/play/<session>` and `#/`.
 * @param {string} hash location.hash
 * @returns {{page: string, session?: string, code?: string, next?: string}}
 */
export function parse(hash) {
  const [head = "", ...rest] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (head === "" && rest.length === 0) return { page: "fleet" };
  if (head === "play" && rest.length === 1 && SESSION.test(rest[0])) return { page: "play", session: rest[0] };
  if (head === "signin") {
    const [code = "", ...onward] = rest;
    const next = parse("#/" + onward.join("/"));
    return { page: "signin", code, next: next.page === "play" ? playHash(next.session) : "#/" };
  }
  return { page: "unknown" };
}

export const playHash = (session) => `#/play/${session}`;

/** Changes the address without leaving the old one in the history: it may hold a code. */
export function replace(hash) {
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
