// A tab that nobody sees asks for nothing: a browser opens six connections to one HTTP/1.1 origin, over all its tabs,
// and an event stream holds one of them for as long as it lasts.

const GRACE_MS = 3000;

/** Resolves as soon as the page can be seen, or when `signal` aborts. */
export function whenVisible(signal) {
  return new Promise((resolve) => {
    if (!document.hidden || signal.aborted) return resolve();
    document.addEventListener("visibilitychange", () => resolve(), { once: true, signal });
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * A signal that aborts with `signal`, or when the page has been hidden for a while.
 * @returns {{signal: AbortSignal, release: () => void}} `release` when it is no longer needed
 */
export function whileVisible(signal) {
  const ending = new AbortController();
  let timer = null;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => ending.abort(), GRACE_MS);
  };
  const release = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
  document.addEventListener("visibilitychange", look);
  look();
  return { signal: AbortSignal.any([signal, ending.signal]), release };
}
