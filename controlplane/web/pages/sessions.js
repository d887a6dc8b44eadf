// Sessions: those on their way or playing, and how the last ones ended.
import { api } from "../api.js";
import { html } from "../dom.js";
import { ago, duration, ending, idOf, seconds, since } from "../format.js";
import { consoleHash, hashOf, playHash } from "../router.js";
import { stagesOf } from "../stages.js";
import { Chip } from "../ui.js";

export function Sessions({ sessions, finished = [], operator, steering }) {
  return html`<section class="panel" aria-labelledby="sessions-title">
    <h2 id="sessions-title">Sessions</h2>
    ${!sessions
      ? html`<p class="empty">Reading …</p>`
      : sessions.length === 0
        ? html`<p class="empty">Nobody plays at the moment.</p>`
        : html`<ul class="rows">${sessions.map(
            (session) => html`<${Row} key=${session.name} session=${session} operator=${operator} steering=${steering} />`,
          )}</ul>`}
    ${finished.length > 0 && html`<${Finished} sessions=${finished} operator=${operator} />`}
  </section>`;
}

/** Asks before a session is stopped. */
export const stopQuestion = (session) => ({
  title: "Stop this session?", verb: "Stop it", danger: true, onSend: () => api.stopSession(session.name),
  text: html`<b>${idOf(session.game)}</b>, session <code>${idOf(session.name)}</code>, is asked to end politely. Whoever plays is disconnected.`,
});

export const SessionChips = ({ session }) => html`<div class="chips">
  <${Chip} state=${session.state} />
  ${session.unreachable &&
  html`<${Chip} as="bad" label="Unreachable" title="Its host is stale or lost; the game may well be playing." />`}
</div>`;

function Row({ session, operator, steering }) {
  const id = idOf(session.name);
  const stopping = session.state === "SESSION_STATE_STOPPING";
  return html`<li class="row session">
    <div class="title">
      <b>${idOf(session.game)}</b>
      <span class="muted"><a href=${hashOf(session.name)}><code>${id}</code></a></span>
    </div>
    <${SessionChips} session=${session} />
    <div class="where">${whereabouts(session)}</div>
    <div class="row-actions">
      ${session.streamed !== false && html`<a class="button" href=${playHash(id)}>Open</a>`}
      ${operator && html`<a class="button" href=${consoleHash(id)} aria-label="Console of session ${id}">Console</a>`}
      <button onClick=${() => steering.ask(stopQuestion(session))} disabled=${stopping} aria-label="Stop session ${id}">Stop</button>
    </div>
  </li>`;
}

function whereabouts(session) {
  if (session.state === "SESSION_STATE_PENDING") {
    return html`<span>${session.queuePosition ? `number ${session.queuePosition} in the queue` : "waits for a slot"}</span>`;
  }
  if (session.state === "SESSION_STATE_STARTING") {
    const step = stagesOf(session).findLast((one) => one.reached);
    return html`<span>${step.label} on ${idOf(session.vm)}</span>`;
  }
  const players = session.connectedPlayers ?? 0;
  return html`<span class="figure">${duration(playedFor(session))}</span>
    <span class="muted">${players === 1 ? "1 player" : `${players} players`} on ${idOf(session.vm)}${session.preset && ` · ${session.preset}`}</span>`;
}

/** Seconds since the first frame: the server's figure for what has ended, our own count for what goes on. */
function playedFor(session) {
  const first = session.stages?.firstFrameTime;
  return first && !session.endTime ? since(first) : seconds(session.runningDuration);
}

const Finished = ({ sessions, operator }) => html`<details class="finished">
  <summary>Last ${sessions.length} that ended</summary>
  <ul class="rows">
    ${sessions.map(
      (session) => html`<li class="row ended" key=${session.name}>
        <div class="title"><b>${idOf(session.game)}</b><span class="muted"><a href=${hashOf(session.name)}><code>${idOf(session.name)}</code></a></span></div>
        <${Chip} state=${session.state} />
        <div class="where">
          <span>${ending(session)}</span>
          <span class="muted">${duration(seconds(session.runningDuration))}${session.endTime && ` · ${ago(since(session.endTime))}`}
            ${operator && html` · <a href=${consoleHash(idOf(session.name))} aria-label="Log of session ${idOf(session.name)}">Log</a>`}</span>
        </div>
      </li>`,
    )}
  </ul>
  <p><a href="#/sessions">All that ended</a></p>
</details>`;
