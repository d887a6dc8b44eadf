// What the pages of places, lists and single things are made of: the frame, what is asked and done, and a panel.
import { html, useState } from "./dom.js";
import { clock } from "./format.js";
import { Ask, Masthead, Problem, useTitle } from "./ui.js";

/**
 * The frame: masthead with places, refusals, content and the open dialog.
 * @param {object} shell account and onSignOut
 * @param {object} live of useLive
 * @param {object} steering of useSteering
 * @param {boolean} [ready] of a page about one thing: it has been read, and heads the page by itself
 */
export function Page({ shell, at, title, live, steering, ready, children }) {
  useTitle(title);
  // What is tried again by itself is told by the link's state alone.
  const refusal = live.error?.retryable ? null : live.error;
  return html`<${Masthead} ...${shell} at=${at} link=${live.link} />
    <main class="fleet">
      <${Problem} error=${steering.problem ?? refusal} onClose=${steering.problem && steering.dismiss} />
      ${!ready && html`<h1 class="unseen">${title}</h1>`}
      ${ready !== false ? children : !live.error && html`<p class="empty" role="status">Reading …</p>`}
    </main>
    ${steering.dialog}`;
}

/**
 * Does what an operator asks for, and reads the page again.
 * @returns {{act: (call: () => Promise) => void, ask: (question: object) => void, problem: Error|null, dismiss: () => void,
 *   dialog: object|null}} `act` does it at once; `ask` opens a dialog with the properties of Ask, and `text`
 */
export function useSteering(refresh) {
  const [problem, setProblem] = useState(null);
  const [asked, ask] = useState(null);
  const act = async (call) => {
    setProblem(null);
    try {
      await call();
    } catch (error) {
      setProblem(error);
    } finally {
      refresh();
    }
  };
  const send = async (values) => {
    await asked.onSend(values);
    refresh();
  };
  const dialog = asked && html`<${Ask} ...${asked} onSend=${send} onClose=${() => ask(null)}>${asked.text}<//>`;
  return { act, ask, problem, dismiss: () => setProblem(null), dialog };
}

export function Panel({ title, actions, children }) {
  const id = `panel-${title.replaceAll(/\W+/g, "-").toLowerCase()}`;
  return html`<section class="panel" aria-labelledby=${id}>
    <div class="panel-head"><h2 id=${id}>${title}</h2>${actions && html`<div class="row-actions">${actions}</div>`}</div>
    ${children}
  </section>`;
}

/** Pairs of a word and what it is; pairs without the latter are left out. */
export const Facts = ({ pairs }) => html`<dl class="facts">
  ${pairs.filter(([, fact]) => fact !== undefined && fact !== null && fact !== "" && fact !== false).map(
    ([name, fact]) => html`<div key=${name}><dt>${name}</dt><dd>${fact}</dd></div>`,
  )}
</dl>`;

/** A moment, by this browser's clock. */
export const When = ({ time }) =>
  time ? html`<time class="figure" datetime=${time} title=${time}>${clock(time)}</time>` : html`<span class="muted">–</span>`;
