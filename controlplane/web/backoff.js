// How long to wait before the next try.

/**
 * Doubles from `firstMs` to `mostMs`; jitter spreads many pages that lost the same server.
 * @param {number} attempt 0 is the first try after a failure
 * @param {number} random 0..1
 */
export function backoffMs(attempt, random, firstMs = 250, mostMs = 5000) {
  return Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 16)) * (0.5 + random / 2);
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
