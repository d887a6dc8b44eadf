// The small pieces that every page is made of.
import { html, useEffect, useRef, useState } from "./dom.js";
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

/** An ApiError in full: sentence, reason, and the field it is about; a name is the page's own and no field of anybody's. */
export function Problem({ error, onClose }) {
  if (!error) return null;
  return html`<div class="problem" role="alert">
    <p>${error.message}</p>
    ${(error.fields ?? []).filter(({ field }) => field !== "name").map(
      ({ field, description }) =>
        html`<p class="detail">Field <code>${field}</code>${error.message.includes(description) ? "" : ` ${description}`}</p>`,
    )}
    ${error.reason && html`<p class="detail">Reason <code>${error.reason}</code></p>`}
    ${onClose && html`<button class="quiet" onClick=${onClose}>Dismiss</button>`}
  </div>`;
}

/**
 * Asks before something is done, and for what it needs: stays open, with the refusal, until it has been done.
 * @param {object[]} fields see Field
 * @param {(values: Record<string, string|boolean>) => Promise} onSend given the values that fields had or were given
 */
export function Ask({ title, children, verb, danger = false, wide = false, fields = [], onSend, onClose }) {
  const dialog = useRef(null);
  const [values, setValues] = useState(() => valuesOf(fields));
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => dialog.current.showModal(), []);
  const close = (event) => (event.preventDefault(), onClose());
  const send = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await onSend(values);
      onClose();
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  const set = (name) => (event) =>
    setValues({ ...values, [name]: event.target.type === "checkbox" ? event.target.checked : event.target.value });
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} onCancel=${close} aria-labelledby="ask-title">
    <form onSubmit=${send}>
      <h2 id="ask-title">${title}</h2>
      ${children && html`<div class="prose">${children}</div>`}
      ${fields.map((field) => html`<${Field} key=${field.name} field=${field} value=${values[field.name]} onInput=${set(field.name)} />`)}
      <${Problem} error=${problem} />
      <div class="actions">
        <button type="button" onClick=${close} autofocus=${fields.length === 0}>${danger ? "Keep" : verb ? "Cancel" : "Close"}</button>
        ${verb && html`<button class=${danger ? "danger" : "primary"} disabled=${busy}>${verb}</button>`}
      </div>
    </form>
  </dialog>`;
}

const valuesOf = (fields) =>
  Object.fromEntries(fields.filter((field) => field.value !== undefined).map(({ name, value }) => [name, value]));

/** `field`: name, label, hint, value, and type (text, number, password, checkbox) or options ([value, text] each). */
function Field({ field: { name, label, hint, type = "text", options, required = true, value: _, ...given }, value, onInput }) {
  const id = `field-${name}`;
  const own = { id, name, onInput, "aria-describedby": hint && `${id}-hint` };
  const input = options
    ? html`<select ...${own} required=${required} value=${value}>
        ${options.map(([one, text]) => html`<option key=${one} value=${one}>${text}</option>`)}
      </select>`
    : type === "checkbox"
      ? html`<input type="checkbox" ...${own} checked=${value} />`
      : html`<input type=${type} ...${own} value=${value} required=${required} autocomplete="off" step="any" ...${given} />`;
  return html`<div class="field ${type === "checkbox" ? "check" : ""}">
    <label class="label" for=${id}>${label}</label>
    ${input}
    ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
  </div>`;
}

/** Asks before something is ended. `onAnswer(true)` when it shall be. */
export const Confirm = ({ title, children, verb, onAnswer }) => {
  const answered = useRef(false);
  const answer = (yes) => () => answered.current || ((answered.current = true), onAnswer(yes));
  return html`<${Ask} title=${title} verb=${verb} danger onSend=${answer(true)} onClose=${answer(false)}>${children}<//>`;
};

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

const PLACES = [["#/", "Fleet"], ["#/sessions", "Sessions"], ["#/capacity", "Capacity"], ["#/saves", "Saves"], ["#/dead-letters", "Dead letters"]];

/** `at`: the address of the place that this page belongs to. Players are shown the places that are theirs. */
export const Masthead = ({ account, link, at, onSignOut, children }) => html`<header class="masthead">
  <a class="brand" href="#/"><img src="mark.svg" alt="" width="30" height="30" /><span>Quarterdeck</span></a>
  ${children}
  ${at && html`<nav class="places" aria-label="Pages">
    ${PLACES.slice(0, isOperator(account) ? undefined : 2).map(
      ([hash, name]) => html`<a href=${hash} aria-current=${hash === at ? "page" : undefined}>${name}</a>`,
    )}
  </nav>`}
  <span class="spacer"></span>
  ${link && html`<${LinkState} link=${link} />`}
  ${account &&
  html`<span class="who" title="project ${account.project ?? ""}">${account.subject ?? "signed in"}</span>
    <button class="quiet" onClick=${onSignOut}>Sign out</button>`}
</header>`;

export const isOperator = (account) => account?.role === "ROLE_OPERATOR";

const LINKS = {
  live: ["good", "Live", "Events arrive as they happen."],
  polling: ["warn", "Polling", "The event stream is away: read again every two seconds."],
  steady: ["idle", "Every 2 s", "Read again by itself every two seconds."],
  away: ["bad", "Control plane away", "Sessions play on; this page catches up by itself."],
};
export function LinkState({ link }) {
  const [as, label, title] = LINKS[link];
  return html`<span role="status"><${Chip} as=${as} label=${label} title=${title} /></span>`;
}
