// What a page shows of the control plane, kept fresh: read from the gateway, and again when an event says it changed.
import { api, follow } from "./api.js";
import { pause } from "./backoff.js";
import { useEffect, useRef, useState } from "./dom.js";
import { whenVisible } from "./visible.js";

const POLL_MS = 2000;
// Heartbeats are no events, and an event may be lost on the way: everything is read again this often even while live.
const SWEEP_MS = 5000;
const COALESCE_MS = 150;

/**
 * @param {object} wish
 * @param {() => Record<string, () => Promise>} wish.lists what to read, by name; asked anew each time, so that a reader
 *   may turn to another page of its list
 * @param {Record<string, string[]>} [wish.touched] which lists an event about a kind of resource may have changed
 * @param {string[]} [wish.subjects] resources or kinds of them whose events are of interest; none: all
 * @param {(seen: object) => void} onChange the answers by name, and link (live, polling, steady where this caller is told
 *   of no events, or away) and error
 * @returns {{refresh: () => void, close: () => void}}
 */
function watchLists({ lists, touched = {}, subjects = [] }, onChange) {
  const ending = new AbortController();
  const following = new AbortController();
  let seen = { link: "polling", error: null };
  let live = false;
  let resumeToken = "";
  let dirty = new Set();
  let timer = null;
  let dueAt = Infinity;

  async function read(names, readers) {
    try {
      const answers = await Promise.all(names.map((name) => readers[name]()));
      const changed = Object.fromEntries(names.map((name, at) => [name, answers[at]]));
      seen = { ...seen, ...changed, link: live ? "live" : following.signal.aborted ? "steady" : "polling", error: null };
    } catch (error) {
      seen = { ...seen, link: error.status === 0 || error.retryable ? "away" : seen.link, error };
    }
    if (!ending.signal.aborted) onChange(seen);
  }

  // One read at a time: a slow gateway is never asked twice for the same list.
  async function run() {
    timer = null;
    await whenVisible(ending.signal);
    if (ending.signal.aborted) return;
    const readers = lists();
    const names = Object.keys(readers).filter((name) => dirty.size === 0 || dirty.has(name));
    dirty = new Set();
    await read(names, readers);
    if (ending.signal.aborted) return;
    wait(dirty.size > 0 ? COALESCE_MS : live ? SWEEP_MS : POLL_MS);
  }

  function wait(ms) {
    clearTimeout(timer);
    dueAt = performance.now() + ms;
    timer = setTimeout(run, ms);
  }

  function touch(names, afterMs = COALESCE_MS) {
    names.forEach((name) => dirty.add(name));
    if (timer === null || dirty.size === 0) return;
    // What is due sooner stays so: in a house where something always happens, nothing would ever be read again.
    if (dueAt > performance.now() + afterMs) wait(afterMs);
  }
  const everything = () => Object.keys(lists());

  const path = () => {
    const query = new URLSearchParams(subjects.map((one) => ["subjects", one]));
    if (resumeToken) query.set("resumeToken", resumeToken);
    return `/v1/events:watch?${query}`;
  };
  const to = {
    onMessage(event) {
      resumeToken = event.resumeToken || resumeToken;
      touch(touched[event.subject?.split("/")[0]] ?? []);
    },
    onLive(isLive, error) {
      live = isLive;
      // Events are told to operators alone: a player's pages read, and ask for no more.
      if (error?.status === 403) following.abort();
      // A token that the control plane no longer knows would be refused for ever.
      if (error && !error.retryable) resumeToken = "";
      touch(everything());
    },
  };
  follow(path, to, AbortSignal.any([ending.signal, following.signal]));
  run();
  return { refresh: () => touch(everything(), 0), close: () => (ending.abort(), clearTimeout(timer)) };
}

/**
 * A page's lists as they change; read again at once when one of `places` does.
 * @returns {object} the answers by name, each undefined until it is there; link, error and refresh
 */
export function useLive({ lists, ...wish }, places = []) {
  const [seen, setSeen] = useState({ link: "polling", error: null });
  const newest = useRef(null);
  newest.current = lists;
  const watch = useRef(null);
  useEffect(() => {
    watch.current = watchLists({ ...wish, lists: () => newest.current }, setSeen);
    return () => watch.current.close();
  }, []);
  const refresh = () => watch.current.refresh();
  useEffect(refresh, places);
  return { ...seen, refresh };
}

/**
 * Follows one session; polls while the stream is away.
 * @param {(session: object|null, link: string, error: Error|null) => void} onChange
 * @returns {() => void} ends it
 */
export function watchSession(name, onChange, isOver) {
  const ending = new AbortController();
  let session = null;
  let live = false;
  const take = (next, error = null) => {
    if (ending.signal.aborted) return;
    session = next ?? session;
    onChange(session, live ? "live" : error?.retryable ? "away" : "polling", error);
    // What is refused for good before it was ever seen, such as a session that is not there, stays so.
    if (session ? isOver(session) : error && !error.retryable) ending.abort();
  };
  follow(
    () => `/v1/${name}:watch`,
    { onMessage: (next) => take(next), onLive: (isLive) => (live = isLive) },
    ending.signal,
  );
  (async () => {
    while (!ending.signal.aborted) {
      if (!live) await api.session(name).then((next) => take(next), (error) => take(null, error));
      await pause(session ? POLL_MS : 500, ending.signal);
      await whenVisible(ending.signal);
    }
  })();
  return () => ending.abort();
}
