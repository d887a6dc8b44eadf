// One session: the way to its picture, the picture, and how it ended.
import { api } from "../api.js";
import { html, useCallback, useEffect, useRef, useState } from "../dom.js";
import { finished, idOf } from "../format.js";
import { Player } from "../player/player.js";
import { consoleHash } from "../router.js";
import { Chip, Confirm, LinkState, Masthead, Problem, useTitle } from "../ui.js";
import { Curtain } from "./curtain.js";
import { Figures, glance } from "./overlay.js";
import { Keys } from "./keys.js";
import { useSession, useStop } from "./session.js";

const IDLE = { state: "idle", why: "", figures: {}, wrapper: {}, pictureMs: null, sound: {} };

export function PlayPage({ session: id, account, onSignOut }) {
  const { session, link, error } = useSession(`sessions/${id}`);
  const stage = useRef(null);
  const video = useRef(null);
  const running = session?.state === "SESSION_STATE_RUNNING" && session.streamed !== false;
  const { player, view, again } = usePlayer(session, running, stage, video);
  const game = useGame(session?.game);
  useTitle(game?.displayName || idOf(session?.game));
  const [open, setOpen] = useState("");
  const [problem, setProblem] = useState(null);
  const toggle = (name) => () => setOpen(open === name ? "" : name);
  const [stopping, stop] = useStop(session, setProblem);
  const answer = (yes) => {
    setOpen("");
    if (yes) stop();
  };
  // A click on a button is no wish to leave the game; who came by keyboard stays on the button.
  const backToGame = (event) => event.detail > 0 && view.state === "live" && stage.current.focus({ preventScroll: true });
  const refusal = error && !error.retryable ? error : null;
  return html`<${Masthead} account=${account} onSignOut=${onSignOut}>
      <span class="crumb"><b>${game?.displayName || idOf(session?.game)}</b> <code>${id}</code></span>
    <//>
    <main class="play">
      <div class="stage" data-state=${view.state} ref=${stage} tabindex="0" role="application"
        aria-label="The game. Keys go to it while it has the focus; Shift and Escape give them back.">
        <video ref=${video} muted autoplay playsinline disablepictureinpicture></video>
        ${open === "figures" && view.state === "live" && html`<${Figures} view=${view} session=${session} />`}
        <${Curtain} session=${session} game=${game} view=${view} refusal=${refusal} onAgain=${again} />
      </div>
      <${Problem} error=${problem} onClose=${() => setProblem(null)} />
      <div class="toolbar" role="toolbar" aria-label="Session" onClick=${backToGame}>
        ${session && html`<${Chip} state=${session.state} />`}
        ${session?.unreachable && html`<${Chip} as="bad" label="Unreachable" title="Its host is stale or lost; the game may well be playing." />`}
        ${link !== "live" && !finished(session) && session && html`<${LinkState} link=${link} />`}
        <span class="glance figure" data-testid="glance">${view.state === "live" && glance(view)}</span>
        <span class="spacer"></span>
        <${Tools} session=${session} operator=${account.role === "ROLE_OPERATOR"} player=${player} view=${view} stage=${stage} open=${open} toggle=${toggle} />
        <button class="danger" disabled=${!session || finished(session) || stopping} onClick=${toggle("stop")}>
          ${stopping && !finished(session) ? "Stopping …" : "Stop"}</button>
      </div>
    </main>
    ${open === "keys" && html`<${Keys} game=${game} gamepad=${view.wrapper.gamepad} onClose=${toggle("keys")} />`}
    ${open === "stop" && html`<${Confirm} title="Stop playing?" verb="Stop the session" onAnswer=${answer}>
      <p>The game is asked to end politely. Every browser connected to this session is disconnected.</p>
    <//>`}`;
}

function Tools({ session, operator, player, view, stage, open, toggle }) {
  const live = view.state === "live";
  return html`
    ${live && html`<${Loudness} silent=${view.wrapper.silent} sound=${view.sound} of=${player.current?.sound} />`}
    <button onClick=${toggle("figures")} aria-pressed=${open === "figures"} disabled=${!live}>Figures</button>
    <button onClick=${toggle("keys")} aria-pressed=${open === "keys"}>Keys</button>
    ${operator && html`<a class="button" href=${consoleHash(idOf(session?.name))}>Console</a>`}
    <button onClick=${() => player.current?.input.lockPointer()} disabled=${!live || !document.exitPointerLock}>Lock mouse</button>
    <button onClick=${() => fullscreen(stage.current)} disabled=${!live || !document.fullscreenEnabled}>Fullscreen</button>`;
}

/** Why nothing is heard, the way to hear it, or how loud it is. */
function Loudness({ silent, sound, of }) {
  if (silent) return html`<span class="silent" data-testid="silent" title=${silent}>No sound: ${silent}</span>`;
  if (!sound.heard) return null;
  if (sound.blocked) return html`<button class="primary" onClick=${() => of.turnOn()}>Turn sound on</button>`;
  const louder = ({ target: { valueAsNumber: volume } }) => of.set(volume > 0 ? { muted: false, volume } : { muted: true });
  return html`<button onClick=${() => (sound.muted ? of.turnOn() : of.set({ muted: true }))} aria-pressed=${!sound.muted}>
      Sound ${sound.muted ? "off" : "on"}</button>
    <input type="range" min="0" max="1" step="0.05" value=${sound.muted ? 0 : sound.volume} onInput=${louder} aria-label="Volume" />`;
}

async function fullscreen(stage) {
  if (document.fullscreenElement) return document.exitFullscreen();
  await stage.requestFullscreen({ navigationUI: "hide" });
  stage.focus();
  // Where the browser allows it, Escape and Tab belong to the game in full screen (holding Escape leaves).
  return navigator.keyboard?.lock?.().catch(() => {});
}

/** Holds a Player while the session runs; `again` makes a new one after it gave up. */
function usePlayer(session, running, stage, video) {
  const player = useRef(null);
  const [view, setView] = useState(IDLE);
  const [round, setRound] = useState(0);
  const name = session?.name;
  useEffect(() => {
    if (!running) return undefined;
    const mine = new Player(name, { stage: stage.current, video: video.current }, setView);
    player.current = mine;
    setView(mine.view);
    stage.current.focus({ preventScroll: true });
    mine.run();
    return () => {
      mine.close();
      setView((last) => ({ ...last, state: "idle" }));
    };
  }, [name, running, round]);
  return { player, view, again: useCallback(() => setRound((before) => before + 1), []) };
}

/** The catalogue entry behind a session: its title and which keys it takes. */
function useGame(name) {
  const [game, setGame] = useState(null);
  useEffect(() => {
    if (!name) return;
    // Only decoration: without it the page shows the game's id.
    api.games().then((games) => setGame(games.find((one) => one.name === name) ?? null), () => setGame(null));
  }, [name]);
  return game;
}
