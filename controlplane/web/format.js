// How figures and states of the API read to a person.

/** "12.5s" → 12.5. */
export const seconds = (duration) => (duration ? Number.parseFloat(duration) : 0);

/** "sessions/abc" → "abc". */
export const idOf = (name = "") => name.slice(name.lastIndexOf("/") + 1);

/** Seconds as "0.4 s", "12 s", "3 min 12 s", "2 h 05 min". */
export function duration(s) {
  if (s < 10) return `${Math.max(0, s).toFixed(1)} s`;
  const whole = Math.floor(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** A length that was set, such as "15 min": as `duration`, without the noughts. */
export const span = (s) => duration(s).replace(/ 00 (s|min)$|\.0(?= s)/, "");

/** Seconds since something as "just now", "12 s ago", "8 min ago", "2 h ago", "3 d ago". */
export function ago(s) {
  if (s < 2) return "just now";
  const [size, unit] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([size]) => s >= size);
  return `${Math.floor(s / size)} ${unit} ago`;
}

/** Milliseconds as "85 ms" or "1.25 s". */
export const milliseconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

/** Seconds since an RFC 3339 time; never negative. */
export const since = (time, nowMs = Date.now()) => Math.max(0, (nowMs - Date.parse(time)) / 1000);

export const gibibytes = (bytes) => `${(Number(bytes ?? 0) / 2 ** 30).toFixed(0)} GiB`;

/** "SESSION_STATE_RUNNING" → "Running"; "VM_STATE_IN_USE" → "In use". */
export function word(value = "") {
  const bare = value.replace(/^[A-Z]+_(STATE|REASON)_/, "").replaceAll("_", " ").toLowerCase();
  return bare === "unspecified" ? "" : bare.charAt(0).toUpperCase() + bare.slice(1);
}

export const TONES = {
  VM_STATE_PROVISIONING: "busy", VM_STATE_BOOTING: "busy", VM_STATE_READY: "good", VM_STATE_IN_USE: "good",
  VM_STATE_DRAINING: "warn", VM_STATE_STOPPED: "idle", VM_STATE_ERROR: "bad", VM_STATE_TERMINATED: "idle",
  HOST_STATE_OFFLINE: "idle", HOST_STATE_ONLINE: "good", HOST_STATE_STALE: "warn", HOST_STATE_LOST: "bad",
  SESSION_STATE_PENDING: "idle", SESSION_STATE_STARTING: "busy", SESSION_STATE_RUNNING: "good",
  SESSION_STATE_STOPPING: "warn", SESSION_STATE_STOPPED: "idle", SESSION_STATE_COMPLETED: "idle",
  SESSION_STATE_CRASHED: "bad", SESSION_STATE_LOST: "bad", SESSION_STATE_REJECTED: "warn",
  BACKUP_STATE_PENDING: "idle", BACKUP_STATE_RUNNING: "busy", BACKUP_STATE_COMPLETED: "good", BACKUP_STATE_FAILED: "bad",
  PORT_STATE_RESERVED: "busy", PORT_STATE_HELD: "good", PORT_STATE_RESTING: "idle",
  REPLACEMENT_STATE_QUEUED: "idle", REPLACEMENT_STATE_RENTING: "busy", REPLACEMENT_STATE_DRAINING: "warn",
  REPLACEMENT_STATE_DONE: "good", REPLACEMENT_STATE_FAILED: "bad", REPLACEMENT_STATE_CANCELLED: "idle",
};

/** good, busy, warn, bad or idle: the colour that goes with the word, never without it. */
export const tone = (state) => TONES[state] ?? "idle";

const REASONS = {
  STOP_REQUESTED: "it was stopped on request", CANCELLED: "it was cancelled before it started",
  GAME_EXITED: "the game ended by itself", GAME_CRASHED: "the game crashed", START_FAILED: "the game did not start",
  IDLE: "nobody played for too long", DISCONNECTED: "nobody was connected for too long",
  MAX_DURATION: "its longest duration was reached", HOST_LOST: "its host was lost", WRAPPER_LOST: "its wrapper was lost",
  QUEUE_DEADLINE: "no place became free before the queue deadline", LEASE_EXPIRED: "its machine was out of touch for too long",
  SAVE_NOT_RESTORED: "its save could not be brought back",
  NEVER_STARTED: "its host did not begin with it in time",
  VM_TERMINATED: "its VM was terminated", PORT_TAKEN: "other programs of its host hold the ports it needs",
  OUT_OF_MEMORY: "it needed more memory than it may use", IMAGE_NOT_FOUND: "its image was not found",
  IMAGE_DENIED: "its image is not given to its host", REGISTRY_UNREACHABLE: "the registry of its image did not answer",
  IMAGE_CORRUPT: "its image is damaged", DISK_LIMIT: "its files took more room than they may",
};

/** A session's reason as the end of a sentence. */
export const because = (reason = "") => REASONS[reason.replace("SESSION_REASON_", "")] ?? "";

const SIGNALS = {
  1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
  9: "SIGKILL", 10: "SIGUSR1", 11: "SIGSEGV", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
  16: "SIGSTKFLT", 17: "SIGCHLD", 18: "SIGCONT", 19: "SIGSTOP", 20: "SIGTSTP", 21: "SIGTTIN", 22: "SIGTTOU",
  23: "SIGURG", 24: "SIGXCPU", 25: "SIGXFSZ", 26: "SIGVTALRM", 27: "SIGPROF", 28: "SIGWINCH", 29: "SIGIO",
  30: "SIGPWR", 31: "SIGSYS",
};

/** How a session's game exited: "exit code 3", "killed by SIGSEGV"; nothing where a stop that was asked for says it. */
export function exited({ state, exitCode = 0 }) {
  if (exitCode > 0) return `exit code ${exitCode}`;
  if (exitCode === 0 || state === "SESSION_STATE_STOPPED") return "";
  return `killed by ${SIGNALS[-exitCode] ?? `signal ${-exitCode}`}`;
}

/** How a session ended, as the end of a sentence: its reason and how its game exited. */
export const ending = (session) => [because(session.reason), exited(session) && `(${exited(session)})`].filter(Boolean).join(" ");

const FINAL = new Set(["STOPPED", "COMPLETED", "CRASHED", "LOST", "REJECTED"].map((state) => `SESSION_STATE_${state}`));
export const finished = (session) => FINAL.has(session?.state);

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A count of bytes (int64s are strings in JSON) as "85 B", "1.5 MiB". */
export function size(bytes) {
  const count = Number(bytes ?? 0);
  const at = Math.min(UNITS.length - 1, count > 0 ? Math.floor(Math.log2(count) / 10) : 0);
  const value = count / 1024 ** at;
  return `${at === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[at]}`;
}

/** Micro-units as "2.50 USD"; what costs less than a cent keeps its digits. */
export function money(micro, currency = "") {
  const amount = Number(micro ?? 0) / 1e6;
  const digits = amount !== 0 && Math.abs(amount) < 0.1 ? 4 : 2;
  return `${amount.toFixed(digits)} ${currency}`.trim();
}

/** An RFC 3339 time by this browser's clock: "17:53:27", with its day unless that is today's. */
export function clock(time, nowMs = Date.now()) {
  const at = new Date(time);
  const hour = at.toLocaleTimeString("en-GB");
  if (at.toDateString() === new Date(nowMs).toDateString()) return hour;
  const year = at.getFullYear() === new Date(nowMs).getFullYear() ? undefined : "numeric";
  return `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year })}, ${hour}`;
}

/** 1 → "1 session", 3 → "3 sessions". */
export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;
