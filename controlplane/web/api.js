// The gateway's REST, as functions. Messages are protojson: camelCase, enums by name, durations such as "12.5s".
import { backoffMs, pause } from "./backoff.js";
import { parser } from "./sse.js";
import { whenVisible, whileVisible } from "./visible.js";

/** A refusal. `reason`, `field` and `details` come from google.rpc.Status; `status` 0 means: no answer at all. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.message || (status ? `The gateway answered ${status}.` : "The gateway does not answer."));
    this.status = status;
    const details = body?.details ?? [];
    const info = details.find((detail) => detail["@type"]?.endsWith("google.rpc.ErrorInfo"));
    const bad = details.find((detail) => detail["@type"]?.endsWith("google.rpc.BadRequest"));
    this.reason = info?.reason ?? "";
    this.fields = (bad?.fieldViolations ?? []).map(({ field, description }) => ({ field, description }));
    if (this.fields.length === 0 && info?.metadata?.field) {
      this.fields = [{ field: info.metadata.field, description: this.message }];
    }
  }

  /** Trying the same again may help. */
  get retryable() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

let onSignedOut = () => {};
/** `callback` hears of every answer 401. */
export function whenSignedOut(callback) {
  onSignedOut = callback;
}

async function answerOf(path, init) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  if (answer.ok) return answer;
  if (answer.status === 401) onSignedOut();
  throw new ApiError(answer.status, await answer.json().catch(() => null));
}

async function request(method, path, body, signal = AbortSignal.timeout(30_000)) {
  const init = { method, signal, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const answer = await answerOf(path, init).catch((error) => {
    throw error.name === "AbortError" || error.name === "TimeoutError" ? new ApiError(0) : error;
  });
  const text = await answer.text();
  return text ? JSON.parse(text) : {};
}

const post = (path, body = {}) => request("POST", path, body);
const get = (path, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
  const pairs = given.flatMap(([key, value]) => [value].flat().map((one) => [key, one]));
  return request("GET", pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path);
};

/** A value of our own choosing: a repeated call with it creates nothing new. */
export function clientToken() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const api = {
  account: () => get("/v1/account"),
  signIn: (code) => post("/signin", { code }),
  signOut: () => post("/signout"),
  games: async () => (await get("/v1/games", { pageSize: 200 })).games ?? [],
  presets: async () => (await get("/v1/presets")).presets ?? [],
  regions: async () => (await get("/v1/regions")).regions ?? [],
  vms: async () => (await get("/v1/vms", { pageSize: 500, states: LIVE_VMS })).vms ?? [],
  hosts: async () => (await get("/v1/hosts", { pageSize: 500 })).hosts ?? [],
  sessions: async (states, pageSize) => (await get("/v1/sessions", { pageSize, states })).sessions ?? [],
  session: (name) => get(`/v1/${name}`),
  /** A lost reply leaks nothing: the second try carries the same client token. */
  async createSession(wish) {
    const body = { ...wish, clientToken: wish.clientToken ?? clientToken() };
    try {
      return await post("/v1/sessions", body);
    } catch (error) {
      if (error.status !== 0) throw error;
      return post("/v1/sessions", body);
    }
  },
  stopSession: (name) => post(`/v1/${name}:stop`),
  deployment: (name) => get(`/v1/${name}`),
  /** The newest stored lines of a session's log, oldest first, as a console would tell them. */
  async newestLog(name) {
    const { lines = [], nextPageToken } = await get(`/v1/${name}/logLines`, { newestFirst: true, pageSize: 2000 });
    return { lines: lines.reverse(), missed: nextPageToken && lines.length ? Number(lines[0].sequence) - 1 : 0 };
  },
  sendConsoleInput: (name, lines) => post(`/v1/${name}:sendConsoleInput`, { lines }),
  executeAction: (name, action, parameters) => post(`/v1/${name}:executeAction`, { action, parameters }),
  createStreamToken: (name) => post(`/v1/${name}:createStreamToken`),
  /** Any resource, by its name. */
  read: (name) => get(`/v1/${name}`),
  /** One page of any list. */
  async page(list, query) {
    const { nextPageToken = "", ...answer } = await get(`/v1/${list}`, query);
    return { items: Object.values(answer)[0] ?? [], nextPageToken };
  },
  /** A lost reply creates nothing twice where the body carries a client token. */
  create: (list, body) => post(`/v1/${list}`, body),
  act: (name, verb, body) => post(`/v1/${name}:${verb}`, body),
  /** Changes these fields and no other. */
  change: (name, fields) => request("PATCH", `/v1/${name}?updateMask=${Object.keys(fields).join(",")}`, fields),
  replace: (name, resource) => request("PUT", `/v1/${name}`, resource),
  remove: (name) => request("DELETE", `/v1/${name}`),
};

const LIVE_VMS = ["PROVISIONING", "BOOTING", "READY", "IN_USE", "DRAINING", "STOPPED", "ERROR"].map(
  (state) => `VM_STATE_${state}`,
);
export const LIVE_SESSIONS = ["PENDING", "STARTING", "RUNNING", "STOPPING"].map((state) => `SESSION_STATE_${state}`);
export const FINISHED_SESSIONS = ["STOPPED", "COMPLETED", "CRASHED", "LOST", "REJECTED"].map(
  (state) => `SESSION_STATE_${state}`,
);

/** Repeats a call that may safely be repeated until the control plane answers; `onAway` hears of each failed try. */
export async function insist(call, onAway, signal) {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (!error.retryable) throw error;
      onAway(error);
      await pause(backoffMs(attempt, Math.random(), 500, 4000), signal);
    }
  }
  return null;
}

/**
 * Follows a server-streaming method until `signal` aborts: connects again with backoff whenever the stream ends, and
 * leaves it while the page is hidden.
 * @param {() => string} path asked at each connection, so that it can carry the newest resume token
 * @param {{onMessage: (message: object) => void, onLive: (live: boolean, error?: ApiError) => void}} to
 * @param {AbortSignal} signal
 */
export async function follow(path, { onMessage, onLive }, signal) {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    await whenVisible(signal);
    const seen = whileVisible(signal);
    let failure;
    try {
      const answer = await answerOf(path(), { headers: { Accept: "text/event-stream" }, signal: seen.signal });
      onLive(true);
      await readEvents(answer, (message) => ((attempt = 0), onMessage(message)));
    } catch (error) {
      failure = error instanceof ApiError ? error : new ApiError(0);
    } finally {
      seen.release();
    }
    if (signal.aborted) return;
    if (seen.signal.aborted) attempt = -1;
    onLive(false, failure);
    if (attempt >= 0) await pause(backoffMs(attempt, Math.random(), 500, 8000), signal);
  }
}

// google.rpc.Code → HTTP, for an error inside a stream whose status line is long gone.
const HTTP_OF_CODE = { 3: 400, 5: 404, 7: 403, 9: 400, 11: 400, 16: 401 };

async function readEvents(answer, onMessage) {
  const feed = parser(({ type, data }) => {
    const message = JSON.parse(data);
    if (type === "error") throw new ApiError(HTTP_OF_CODE[message.code] ?? 503, message);
    if (type === "message") onMessage(message);
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) feed(piece.value);
  } finally {
    reader.cancel().catch(() => {});
  }
}
