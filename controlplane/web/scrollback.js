// The lines of a console that a page keeps. Pure.

export const KEPT_LINES = 2000;

/** Nothing read yet. `sequence` is that of the newest line, `gone` says how many are not kept any more. */
export const EMPTY = { lines: [], sequence: 0, gone: 0 };

/**
 * @param {{lines: {sequence: number, text: string}[], sequence: number, gone: number}} before
 * @param {{lines?: {sequence: string, text?: string}[], missed?: string}} output ConsoleOutput as protojson
 */
export function append(before, output) {
  const fresh = (output.lines ?? []).map(({ sequence, text = "" }) => ({ sequence: Number(sequence), text }));
  if (fresh.length === 0) return before;
  // A game that was started anew counts from 1 again: what it printed before stays in sight.
  const lines = [...before.lines, ...fresh];
  const over = Math.max(0, lines.length - KEPT_LINES);
  return {
    lines: lines.slice(over),
    sequence: fresh.at(-1).sequence,
    gone: before.gone + over + Number(output.missed ?? 0),
  };
}

/** A line typed before or after this one: `step` is -1 for Up, 1 for Down; `at` counts from the oldest. */
export function recall(typed, at, step) {
  const next = Math.min(typed.length, Math.max(0, at + step));
  return { at: next, text: typed[next] ?? "" };
}
