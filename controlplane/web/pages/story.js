// One session's whole story: how it came to play, where, how it ended, what it printed and what it left.
import { api, clientToken } from "../api.js";
import { html } from "../dom.js";
import { clock, duration, finished, idOf, milliseconds, plural, seconds, size, span } from "../format.js";
import { Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Facts, Page, When, useSteering } from "../page.js";
import { consoleHash, hashOf, playHash } from "../router.js";
import { passedOver, storyOf } from "../storyline.js";
import { isOperator } from "../ui.js";
import { backupColumns } from "./backups.js";
import { Events, eventsOf } from "./events.js";
import { LogPanel } from "./log.js";
import { SessionChips, stopQuestion } from "./sessions.js";

const TOUCHED = { sessions: ["session", "events", "log"], backups: ["backups"] };

export function StoryPage({ id, ...shell }) {
  const name = `sessions/${id}`;
  const operator = isOperator(shell.account);
  const backups = usePlace("backups", 10);
  const log = usePlace("log", 50);
  const events = usePlace("events", 10);
  const forOperators = {
    backups: () => backups.read("backups", { session: name }),
    log: () => log.read(`${name}/logLines`, { newestFirst: true, contains: log.filter }),
  };
  const lists = { session: () => api.session(name), events: () => eventsOf(events, name), ...(operator && forOperators) };
  const subjects = operator ? [name, "backups"] : [name];
  const live = useLive({ lists, touched: TOUCHED, subjects }, [events.key, backups.key, log.key]);
  const steering = useSteering(live.refresh);
  const { session } = live;
  return html`<${Page} shell=${shell} at="#/sessions" title="Session ${id}" live=${live} steering=${steering} ready=${Boolean(session)}>
    ${session && html`<${Head} session=${session} operator=${operator} steering=${steering} />
      <${Events} title="Events" page=${live.events} place=${events} />
      ${operator && html`<${Listing} title="Backups" page=${live.backups} place=${backups} columns=${backupColumns(steering, "session")}
          empty=${noBackups(session)} />
        <${LogPanel} page=${live.log} place=${log} />`}`}
  <//>`;
}

const noBackups = (session) =>
  finished(session) && !session.save
    ? "None was made. It played without a save, so nothing is left to back up."
    : "None was made yet. “Back up now” copies its volumes; a schedule under Saves does so by itself.";

function Head({ session, operator, steering }) {
  const id = idOf(session.name);
  const over = finished(session);
  const stopping = session.state === "SESSION_STATE_STOPPING";
  return html`<section class="panel" aria-labelledby="story-title">
    <div class="panel-head">
      <h1 id="story-title">${idOf(session.game)} <small><code>${id}</code></small></h1>
      <${SessionChips} session=${session} />
      <span class="spacer"></span>
      <div class="row-actions">
        ${!over && session.streamed !== false && html`<a class="button" href=${playHash(id)}>Open</a>`}
        ${operator && html`<a class="button" href=${consoleHash(id)}>Console</a>`}
        ${operator && (!over || session.save) && html`<button onClick=${() => steering.ask(backupQuestion(session))}>Back up now</button>`}
        ${!over && html`<button class="danger" disabled=${stopping} onClick=${() => steering.ask(stopQuestion(session))}>Stop</button>`}
      </div>
    </div>
    ${session.progress && html`<p class="muted">${session.progress}</p>`}
    <div class="halves">
      <${Moments} session=${session} />
      <${Particulars} session=${session} operator=${operator} />
    </div>
  </section>`;
}

const Moments = ({ session }) => html`<ol class="stages story" aria-label="Story">
  ${storyOf(session).map(({ label, time, afterMs, detail, reached, tone = "" }) => html`<li class="${reached ? "reached" : ""} ${tone}">
    <span>${label}${detail && html`<span class="hint">${detail}</span>`}</span>
    ${time && html`<span>${afterMs > 0 && html`<small class="figure">+${milliseconds(afterMs)} </small>`}<${When} time=${time} /></span>`}
  </li>`)}
</ol>`;

function Particulars({ session, operator }) {
  const { limits = {}, usage, ports = [] } = session;
  const waited = passedOver(session);
  const queue = session.queuePosition > 0 && `number ${session.queuePosition}${session.queueDeadline ? `, until ${clock(session.queueDeadline)}` : ""}${
    session.queueEstimate ? `, about ${duration(seconds(session.queueEstimate))} to go` : ""}`;
  return html`<${Facts} pairs=${[
    ["Queue", queue],
    ["VM", session.vm && (operator ? html`<a href=${hashOf(session.vm)}>${idOf(session.vm)}</a>` : idOf(session.vm))],
    ["Save", session.save && (operator ? html`<a href=${hashOf(session.save)}>${idOf(session.save)}</a>` : idOf(session.save))],
    ["Deployment", `no. ${idOf(session.deployment)}, generation ${session.generation}`],
    ["Players now", finished(session) ? "" : plural(session.connectedPlayers ?? 0, "player")],
    ["Last active", session.lastActivityTime && html`<${When} time=${session.lastActivityTime} />`],
    ["Ports", ports.map((port) => `${port.portName} ${port.hostPort}`).join(", ")],
    ["Uses", usage && `${duration(seconds(usage.cpuTime))} of processor, ${size(usage.memoryBytes)} (at most ${size(usage.memoryPeakBytes)})`],
    ["Ends by itself", limitsOf(limits)],
    ["Passed over", waited.length > 0 && html`<ul>${waited.map((line) => html`<li>${line}</li>`)}</ul>`],
  ]} />`;
}

const limitsOf = ({ idleTimeout, disconnectTimeout, maxDuration }) =>
  [[idleTimeout, "idle"], [disconnectTimeout, "alone"], [maxDuration, "in all"]]
    .filter(([limit]) => seconds(limit) > 0)
    .map(([limit, word]) => `${span(seconds(limit))} ${word}`)
    .join(", ");

function backupQuestion(session) {
  const body = { session: session.name, clientToken: clientToken() };
  return {
    title: "Back this session up?", verb: "Back up", onSend: () => api.create("backups", body),
    text: finished(session)
      ? `What it left in save ${idOf(session.save)} is copied, and stays until it is deleted.`
      : "Its volumes are copied as they are now, between the lines that its deployment types into the game.",
  };
}
