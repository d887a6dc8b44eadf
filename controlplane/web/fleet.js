// The fleet as this page knows it: lists read from the gateway, read again when an event says that one changed.
import { FINISHED_SESSIONS, LIVE_SESSIONS, api, follow } from "./api.js";
import { pause } from "./backoff.js";
import { whenVisible } from "./visible.js";

const POLL_MS = 2000;
// Heartbeats are no events, and an event may be lost on the way: everything is read again this often even while live.
const SWEEP_MS = 5000;
const COALESCE_MS = 150;

const LISTS = {
  sessions: () => api.sessions(LIVE_SESSIONS, 500),
  finished: () => api.sessions(FINISHED_SESSIONS, 20),
  vms: () => api.vms(),
  hosts: () => api.hosts(),
};
// What an event about a resource may have changed: a session takes and frees units of its VM.
const TOUCHED = { sessions: ["sessions", "finished", "vms"], vms: ["vms"], hosts: ["hosts", "vms", "sessions"] };

/**
 * @param {boolean} operator players see sessions only
 * @param {(fleet: object) => void} onChange `{sessions, finished, vms, hosts, link, error}`; link is live, polling or away
 * @returns {{refresh: () => void, close: () => void}}
 */
export function watchFleet(operator, onChange) {
  const ending = new AbortController();
  const lists = operator ? Object.keys(LISTS) : ["sessions", "finished"];
  let fleet = { sessions: null, finished: [], vms: [], hosts: [], link: "polling", error: null };
  let live = false;
  let resumeToken = "";
  let dirty = new Set();
  let timer = null;

  async function read(names) {
    try {
      const answers = await Promise.all(names.map((name) => LISTS[name]()));
      const changed = Object.fromEntries(names.map((name, at) => [name, answers[at]]));
      fleet = { ...fleet, ...changed, link: live ? "live" : "polling", error: null };
    } catch (error) {
      fleet = { ...fleet, link: error.status === 0 || error.retryable ? "away" : fleet.link, error };
    }
    if (!ending.signal.aborted) onChange(fleet);
  }

  // One read at a time: a slow gateway is never asked twice for the same list.
  async function run() {
    timer = null;
    await whenVisible(ending.signal);
    if (ending.signal.aborted) return;
    const names = dirty.size > 0 ? [...dirty] : lists;
    dirty = new Set();
    await read(names);
    if (ending.signal.aborted) return;
    timer = setTimeout(run, dirty.size > 0 ? COALESCE_MS : live ? SWEEP_MS : POLL_MS);
  }

  function touch(names) {
    names.filter((name) => lists.includes(name)).forEach((name) => dirty.add(name));
    if (timer === null || dirty.size === 0) return;
    clearTimeout(timer);
    timer = setTimeout(run, COALESCE_MS);
  }

  follow(
    () => `/v1/events:watch${resumeToken ? `?resumeToken=${encodeURIComponent(resumeToken)}` : ""}`,
    {
      onMessage(event) {
        resumeToken = event.resumeToken || resumeToken;
        touch(TOUCHED[event.subject?.split("/")[0]] ?? []);
      },
      onLive(isLive, error) {
        live = isLive;
        // A token that the control plane no longer knows would be refused for ever.
        if (error && !error.retryable) resumeToken = "";
        touch(lists);
      },
    },
    ending.signal,
  );
  run();
  return { refresh: () => touch(lists), close: () => (ending.abort(), clearTimeout(timer)) };
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
    if (session && isOver(session)) ending.abort();
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
