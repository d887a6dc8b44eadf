// What stands before the stage while there is no picture: the way to it, a broken connection, the end.
import { api } from "../api.js";
import { html, useState } from "../dom.js";
import { clock, duration, ending, finished, idOf, seconds, word } from "../format.js";
import { playHash } from "../router.js";
import { stagesOf } from "../stages.js";
import { territory } from "../territory.js";
import { Problem, Stages } from "../ui.js";

export function Curtain({ session, game, view, refusal, onAgain }) {
  if (finished(session)) return html`<${Ended} session=${session} game=${game} />`;
  if (view.state === "live") return null;
  if (refusal) return html`<${Card} title=${refusal.status === 404 ? "No such session" : "This session cannot be shown"}>
    <${Problem} error=${refusal} /><div class="actions"><a class="button" href="#/">To the fleet</a></div><//>`;
  if (view.state === "failed") {
    return html`<${Card} title="The stream was refused"><p>${view.why}</p><button class="primary" onClick=${onAgain}>Try again</button><//>`;
  }
  if (view.state === "reconnecting") {
    return html`<div class="curtain thin" role="status"><p><b>Reconnecting …</b> ${view.why}</p></div>`;
  }
  if (session?.state === "SESSION_STATE_STOPPING") return html`<${Card} title="Stopping …"><p class="muted">The game is putting its things away.</p><//>`;
  if (session?.streamed === false) return html`<${Dedicated} session=${session} />`;
  return html`<${Waiting} session=${session} view=${view} />`;
}

const Card = ({ title, children }) => html`<div class="curtain"><div class="card" role="status"><h1>${title}</h1>${children}</div></div>`;

function Waiting({ session, view }) {
  const title = { SESSION_STATE_PENDING: "Waiting for a free place", SESSION_STATE_STARTING: "Getting under way",
    SESSION_STATE_RUNNING: "Bringing the picture" }[session?.state];
  return html`<${Card} title=${title ?? "Looking for the session"}>
    ${session?.queuePosition > 0 && html`<p>Number <b class="figure">${session.queuePosition}</b> in the queue${session.queueDeadline ? ` until ${clock(session.queueDeadline)}` : ""}.</p>`}
    <${Stages} steps=${stagesOf(session, view.pictureMs)} />
  <//>`;
}

const Dedicated = ({ session }) => html`<${Card} title="${word(session.state)}: a game without a picture">
  <p class="muted">Nothing streams here. Its ports:</p>
  <ul>${(session.ports ?? []).map((port) => html`<li><code>${port.portName} ${port.hostPort}</code></li>`)}</ul>
<//>`;

function Ended({ session, game }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const again = async () => {
    setBusy(true);
    try {
      const next = await api.createSession(another(session));
      location.hash = playHash(idOf(next.name));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  const played = seconds(session.runningDuration);
  return html`<${Card} title="The session has ended">
    <p data-testid="ending">${word(session.state)}: ${ending(session) || "no reason was given"}.</p>
    ${session.reasonDetail && html`<p class="muted">${session.reasonDetail}</p>`}
    <p>Played for <b class="figure" data-testid="played">${duration(played)}</b></p>
    ${session.save && html`<p class="muted">Played again, it goes on with the save <code>${idOf(session.save)}</code>.</p>`}
    ${game?.parameters?.length > 0 && html`<p class="muted">Played again, it begins with the game's own parameters, not with values that this session was given.</p>`}
    <${Problem} error=${problem} />
    <div class="actions"><a class="button" href="#/">To the fleet</a>
      <button class="primary" disabled=${busy} onClick=${again}>Play again</button></div>
  <//>`;
}

/** The wish for another session like this one, by the player who is here now. */
function another({ game, preset = "", region = "", save = "" }) {
  const kept = { saveId: idOf(save), territory: territory() };
  return { game, preset, region, ...Object.fromEntries(Object.entries(kept).filter(([, value]) => value)) };
}
