// The small pieces that every page is made of.
import { html, useEffect, useRef } from "./dom.js";
import { milliseconds, tone, word } from "./format.js";

/** Names the tab. */
export function useTitle(title) {
  useEffect(() => {
    document.title = title ? `${title} · Quarterdeck` : "Quarterdeck";
  }, [title]);
}

/** A state as colour and word, so that neither stands alone. */
export const Chip = ({ state, label = word(state), as = tone(state), title }) =>
  html`<span class="chip ${as}" title=${title}><i aria-hidden="true"></i>${label}</span>`;

/** Used units out of capacity. */
export function Meter({ used, capacity, label }) {
  const share = capacity > 0 ? Math.min(1, used / capacity) : 0;
  return html`<div class="meter" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax=${capacity}
    aria-valuenow=${used}>
    <div class="bar ${share >= 1 ? "full" : ""}"><b style=${{ width: `${share * 100}%` }}></b></div>
    <span class="figure">${used}<small> / ${capacity} units</small></span>
  </div>`;
}

/** An ApiError in full: sentence, reason, and the field it is about. */
export function Problem({ error, onClose }) {
  if (!error) return null;
  return html`<div class="problem" role="alert">
    <p>${error.message}</p>
    ${(error.fields ?? []).map(
      ({ field, description }) =>
        html`<p class="detail">Field <code>${field}</code>${error.message.includes(description) ? "" : ` ${description}`}</p>`,
    )}
    ${error.reason && html`<p class="detail">Reason <code>${error.reason}</code></p>`}
    ${onClose && html`<button class="quiet" onClick=${onClose}>Dismiss</button>`}
  </div>`;
}

/** Asks before something is ended. `onAnswer(true)` when it shall be. */
export function Confirm({ title, children, verb, onAnswer }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  const answer = (yes) => (event) => (event.preventDefault(), onAnswer(yes));
  return html`<dialog ref=${dialog} onCancel=${answer(false)} aria-labelledby="confirm-title">
    <h2 id="confirm-title">${title}</h2>
    <div class="prose">${children}</div>
    <div class="actions">
      <button onClick=${answer(false)} autofocus>Keep</button>
      <button class="danger" onClick=${answer(true)}>${verb}</button>
    </div>
  </dialog>`;
}

/** The way from "asked" to the picture. */
export const Stages = ({ steps }) => html`<ol class="stages">
  ${steps.map(
    ({ label, reached, current, afterMs, own }) => html`<li
      class=${reached ? "reached" : current ? "current" : ""}
      aria-current=${current ? "step" : undefined}
    >
      <span>${label}</span>
      <span class="figure">${afterMs === null ? "" : `${own ? "+" : ""}${milliseconds(afterMs)}`}</span>
    </li>`,
  )}
</ol>`;

export const Masthead = ({ account, link, onSignOut, children }) => html`<header class="masthead">
  <a class="brand" href="#/"><img src="mark.svg" alt="" width="30" height="30" /><span>Quarterdeck</span></a>
  ${children}
  <span class="spacer"></span>
  ${link && html`<${LinkState} link=${link} />`}
  ${account &&
  html`<span class="who" title="project ${account.project ?? ""}">${account.subject ?? "signed in"}</span>
    <button class="quiet" onClick=${onSignOut}>Sign out</button>`}
</header>`;

const LINKS = {
  live: ["good", "Live", "Events arrive as they happen."],
  polling: ["warn", "Polling", "The event stream is away: read again every two seconds."],
  away: ["bad", "Control plane away", "Sessions play on; this page catches up by itself."],
};
export function LinkState({ link }) {
  const [as, label, title] = LINKS[link];
  return html`<span role="status"><${Chip} as=${as} label=${label} title=${title} /></span>`;
}
