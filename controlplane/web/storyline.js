// A session's life as a list of moments. Pure.
import { because, duration, exited, idOf, plural, seconds, tone, word } from "./format.js";

/**
 * What the session itself tells, in order. Its stages are those of its newest generation; `reached` is false for what
 * is yet to come.
 * @returns {{label: string, time?: string, afterMs?: number, detail?: string, tone?: string, reached: boolean}[]} afterMs counts, for what leads
 *   to play, from the moment it was asked for
 */
export function storyOf(session) {
  const { stages = {}, generation = 0 } = session;
  const wish = [session.preset, session.region && `in ${session.region}`, session.save && `with save ${idOf(session.save)}`];
  const again = generation > 1;
  const moments = [
    { label: "Asked", time: session.createTime, detail: wish.filter(Boolean).join(", ") },
    again && { label: `Placed again ${generation === 2 ? "once" : `${generation - 1} times`}`, time: stages.allocatedTime,
      detail: "its host was lost; what follows is told of its newest start" },
    { label: session.vm ? `Placed on ${idOf(session.vm)}` : "Placed", time: stages.allocatedTime },
    { label: "Image ready", time: stages.imageReadyTime },
    { label: "Game started", time: stages.gameStartedTime },
    { label: session.streamed === false ? "Ready" : "First frame", time: stages.firstFrameTime },
    session.endTime && { label: word(session.state), time: session.endTime, detail: ending(session), tone: tone(session.state) },
  ].filter(Boolean);
  const last = moments.findLastIndex(({ time }) => time);
  // A stage may be skipped: what lies before a reached one is behind us. What an ended session never reached is not to come.
  const after = (time) => (time && !again && time !== session.endTime ? Date.parse(time) - Date.parse(session.createTime) : undefined);
  return moments
    .map((moment, at) => ({ ...moment, afterMs: after(moment.time), reached: at <= last }))
    .filter(({ time }) => time || !session.endTime);
}

function ending(session) {
  const { reason, reasonDetail = "", stages, runningDuration } = session;
  const code = exited(session);
  const played = stages?.firstFrameTime ? `played for ${duration(seconds(runningDuration))}` : "never playable";
  const why = [because(reason), reasonDetail.replace(/\.$/, "")].filter(Boolean).join(": ");
  return [why, !reasonDetail.includes(code) && code, played].filter(Boolean).join("; ");
}

/** Why regions and VMs that came first were passed over: one line each, the same words once. */
export function passedOver(session) {
  const byWhy = new Map();
  for (const { region, vm, why } of session.passedOver ?? []) byWhy.set(why, [...(byWhy.get(why) ?? []), idOf(vm) || region]);
  return [...byWhy].map(([why, where]) => `${where.length > 4 ? plural(where.length, "region") : where.join(", ")}: ${why}`);
}
