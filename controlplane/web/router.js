// Which page an address means. Addresses live in the fragment, so that a sign-in code never reaches a server log.

const SESSION = /^[a-z0-9][a-z0-9-]{0,62}$/;
const OF_A_SESSION = new Set(["play", "console"]);

/**
 * `#/signin/<code>[/play/<session>]`, `#/play/<session>`, `#/console/<session>` and `#/`.
 * @param {string} hash location.hash
 * @returns {{page: string, session?: string, code?: string, next?: string}}
 */
export function parse(hash) {
  const [head = "", ...rest] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (head === "" && rest.length === 0) return { page: "fleet" };
  if (OF_A_SESSION.has(head) && rest.length === 1 && SESSION.test(rest[0])) return { page: head, session: rest[0] };
  if (head === "signin") {
    const [code = "", ...onward] = rest;
    const next = parse("#/" + onward.join("/"));
    return { page: "signin", code, next: next.session ? `#/${next.page}/${next.session}` : "#/" };
  }
  return { page: "unknown" };
}

export const playHash = (session) => `#/play/${session}`;
export const consoleHash = (session) => `#/console/${session}`;

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
