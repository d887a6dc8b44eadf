// A game's console: what it prints, a line to type into it, and its deployment's actions.
import { api, follow } from "../api.js";
import { html, useEffect, useRef, useState } from "../dom.js";
import { finished, idOf } from "../format.js";
import { hashOf, playHash } from "../router.js";
import { EMPTY, append, recall } from "../scrollback.js";
import { Chip, Confirm, LinkState, Masthead, Problem, useTitle } from "../ui.js";
import { ActionForm } from "./action.js";
import { useSession, useStop } from "./session.js";

const REMEMBERED_LINES = 100;

export function ConsolePage({ session: id, account, onSignOut }) {
  const { session, link, error } = useSession(`sessions/${id}`);
  const over = finished(session);
  const output = useOutput(session);
  const actions = useActions(session?.deployment);
  const [problem, setProblem] = useState(null);
  const [asked, setAsked] = useState(null);
  const [stopping, stop] = useStop(session, setProblem);
  useTitle(`Console of ${idOf(session?.game) || id}`);
  const act = (call) => call().then(() => setProblem(null), (failure) => (setProblem(failure), Promise.reject(failure)));
  const execute = (action, parameters) => api.executeAction(session.name, action.actionName, parameters);
  const choose = (action) => (action.parameters?.length ? setAsked(action) : act(() => execute(action, {})).catch(() => {}));
  const answer = (yes) => (setAsked(null), yes && stop());
  const running = session?.state === "SESSION_STATE_RUNNING" || session?.state === "SESSION_STATE_STARTING";
  return html`<${Masthead} account=${account} onSignOut=${onSignOut}>
      <span class="crumb"><b>${idOf(session?.game)}</b> <code>${id}</code></span>
    <//>
    <main class="console">
      <h1 class="unseen">Console of ${idOf(session?.game) || id}</h1>
      <div class="toolbar" role="toolbar" aria-label="Session">
        ${session && html`<${Chip} state=${session.state} />`}
        ${link !== "live" && !over && session && html`<${LinkState} link=${link} />`}
        ${actions.map((action) => html`<button disabled=${!running} onClick=${() => choose(action)}>
          ${action.displayName || action.actionName}</button>`)}
        <span class="spacer"></span>
        <a class="button" href=${hashOf(`sessions/${id}`)}>Story</a>
        ${session && session.streamed !== false && html`<a class="button" href=${playHash(id)}>Picture</a>`}
        <button class="danger" disabled=${!session || over || stopping} onClick=${() => setAsked("stop")}>
          ${stopping && !over ? "Stopping …" : "Stop"}</button>
      </div>
      <${Problem} error=${problem ?? (error && !error.retryable ? error : null)} onClose=${problem && (() => setProblem(null))} />
      <${Output} output=${output} over=${over} />
      <${Prompt} disabled=${!running} send=${(line) => act(() => api.sendConsoleInput(session.name, [line]))} />
    </main>
    ${asked === "stop" && html`<${Confirm} title="Stop this session?" verb="Stop the session" onAnswer=${answer}>
      <p>The game is asked to end politely. Whoever plays is disconnected.</p>
    <//>`}
    ${asked && asked !== "stop" && html`<${ActionForm} action=${asked} onCancel=${() => setAsked(null)}
      onExecute=${(parameters) => execute(asked, parameters)} />`}`;
}

/**
 * What the game prints, from the oldest line that is kept; goes on after the last line whenever the stream breaks. When
 * the session is over, what was stored of its log, and what its host has yet to hand on.
 */
function useOutput(session) {
  const [output, setOutput] = useState(EMPTY);
  const newest = useRef({ generation: 0, sequence: 0 });
  const name = session?.name;
  const generation = session?.generation;
  const over = finished(session);
  const on = over || (session && session.state !== "SESSION_STATE_PENDING");
  useEffect(() => {
    if (!on) return undefined;
    const ending = new AbortController();
    // Another generation is another game, which counts from 1.
    if (newest.current.generation !== generation && !over) newest.current = { generation, sequence: 0 };
    const take = (message) => {
      const last = message.lines?.at(-1);
      if (last) newest.current = { generation: last.generation ?? generation, sequence: Number(last.sequence) };
      setOutput((before) => append(before, message));
    };
    const path = () =>
      over
        ? `/v1/${name}:followLogs?afterGeneration=${newest.current.generation}&afterSequence=${newest.current.sequence}`
        : `/v1/${name}:console?afterSequence=${newest.current.sequence}`;
    // A log that has ended without a fault is complete.
    const onLive = (live, error) => over && !live && !error && ending.abort();
    const begin = async () => {
      if (over && newest.current.sequence === 0) take(await api.newestLog(name).catch(() => ({})));
      if (!ending.signal.aborted) follow(path, { onMessage: take, onLive }, ending.signal);
    };
    begin();
    return () => ending.abort();
  }, [name, generation, over, Boolean(on)]);
  return output;
}

function useActions(deployment) {
  const [actions, setActions] = useState([]);
  useEffect(() => {
    if (!deployment) return;
    // Without them the console still works; each can be typed.
    api.deployment(deployment).then((found) => setActions(found.actions ?? []), () => setActions([]));
  }, [deployment]);
  return actions;
}

/** Stays at the newest line until somebody scrolls up to read. */
function Output({ output, over }) {
  const box = useRef(null);
  const pinned = useRef(true);
  const scrolled = () => {
    const { scrollHeight, scrollTop, clientHeight } = box.current;
    pinned.current = scrollHeight - scrollTop - clientHeight < 24;
  };
  useEffect(() => {
    if (pinned.current) box.current.scrollTop = box.current.scrollHeight;
  }, [output]);
  return html`<pre class="output" ref=${box} onScroll=${scrolled} tabindex="0" role="log" aria-label="Output of the game">
${output.gone > 0 && html`<span class="muted">… ${output.gone} earlier lines are not kept\n</span>`}${output.lines.map(({ text }) => `${text}\n`)}${
    output.lines.length === 0 && html`<span class="muted">${over ? "The session is over, and nothing is kept of what it printed." : "Nothing printed yet."}</span>`
  }</pre>`;
}

function Prompt({ disabled, send }) {
  const [text, setText] = useState("");
  const typed = useRef([]);
  const at = useRef(0);
  const submit = (event) => {
    event.preventDefault();
    // The line stays until it has been taken: a refused one can be sent again.
    send(text).then(
      () => {
        typed.current = [...typed.current, text].slice(-REMEMBERED_LINES);
        at.current = typed.current.length;
        setText("");
      },
      () => {},
    );
  };
  const keys = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const found = recall(typed.current, at.current, step);
    at.current = found.at;
    setText(found.text);
  };
  return html`<form class="prompt" onSubmit=${submit}>
    <input aria-label="Line to type into the game" autocomplete="off" autocapitalize="off" spellcheck=${false} maxlength="4096"
      placeholder=${disabled ? "The game does not run." : "Type a line, Enter sends it"} value=${text} disabled=${disabled}
      onInput=${(event) => setText(event.target.value)} onKeyDown=${keys} />
    <button disabled=${disabled}>Send</button>
  </form>`;
}
