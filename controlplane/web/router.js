// Which page an address means. Addresses live in the fragment, so that a sign-in code never reaches a server log.

const ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
const ALONE = new Set(["sessions", "capacity", "saves", "dead-letters"]);
const OF_ONE = new Set(["play", "console", "sessions", "vms", "saves"]);

/**
 * `#/`, `#/<page>`, `#/<page>/<id>` and `#/signin/<code>[/<page>[/<id>]]`.
 * @param {string} hash location.hash
 * @returns {{page: string, id?: string, code?: string, next?: string}}
 */
export function parse(hash) {
  const [head = "", ...rest] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (head === "" && rest.length === 0) return { page: "fleet" };
  if (ALONE.has(head) && rest.length === 0) return { page: head };
  if (OF_ONE.has(head) && rest.length === 1 && ID.test(rest[0])) return { page: head, id: rest[0] };
  if (head === "signin") {
    const [code = "", ...onward] = rest;
    const next = `#/${onward.join("/")}`;
    return { page: "signin", code, next: ["unknown", "signin"].includes(parse(next).page) ? "#/" : next };
  }
  return { page: "unknown" };
}

export const playHash = (session) => `#/play/${session}`;
export const consoleHash = (session) => `#/console/${session}`;
/** The page of a resource that has one, by its name: sessions/…, vms/… or saves/…. */
export const hashOf = (name) => `#/${name}`;

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
