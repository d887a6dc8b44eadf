// Lists: a table that folds into cards where it is narrow, and the way through its pages.
import { api } from "./api.js";
import { html, useState } from "./dom.js";
import { Panel } from "./page.js";

/**
 * Where in a list a page is: which filter, which page of it. Kept with the entry of the browser's history, so that
 * whoever comes back finds the list as it was left.
 * @param {string} name of the list, unique on its page
 */
export function usePlace(name, size = 20, first = "") {
  const [place, setPlace] = useState(history.state?.[name] ?? { filter: first, tokens: [] });
  const go = (next) => {
    history.replaceState({ ...history.state, [name]: next }, "");
    setPlace(next);
  };
  const { filter, tokens } = place;
  const pageToken = tokens.at(-1) ?? "";
  const key = `${filter} ${pageToken}`;
  return {
    filter, key, number: tokens.length + 1,
    /** The page of `list` that this place is at; `query`: what the filter means to the API. */
    read: async (list, query = {}) => ({ ...(await api.page(list, { ...query, pageSize: size, pageToken })), key }),
    choose: (chosen) => go({ filter: chosen, tokens: [] }),
    onward: (next) => go({ filter, tokens: [...tokens, next] }),
    back: () => go({ filter, tokens: tokens.slice(0, -1) }),
  };
}

/**
 * One page of a list.
 * @param {object} page of a place's `read`, or of api.page; undefined while it is read
 * @param {object} [place] of usePlace; none: the list has one page
 * @param {{title: string, cell: (row: object) => any}[]} columns a column without a title holds what can be done
 * @param {any} empty what to do next, where there is nothing
 */
export function Listing({ title, page, place, columns, empty, actions, filter, keyOf }) {
  return html`<${Panel} title=${title} actions=${actions}>
    ${filter}
    ${!page
      ? html`<p class="empty">Reading …</p>`
      : page.items.length === 0
        ? html`<p class="empty">${place?.number > 1 ? "No more on this page." : empty}</p>`
        : html`<${Table} label=${title} columns=${columns} rows=${page.items} keyOf=${keyOf} />`}
    <${Pager} label="Pages of ${title.toLowerCase()}" page=${page} place=${place} />
  <//>`;
}

/** The way through the pages of a list; nothing where there is but one. */
export function Pager({ label, page, place, back = "Previous", onward = "Next" }) {
  if (!place || (place.number === 1 && !page?.nextPageToken)) return null;
  // Until the page that was turned to is there, the token at hand leads on from another.
  const turning = page?.key !== place.key;
  return html`<nav class="pager" aria-label=${label}>
    <button disabled=${place.number === 1} onClick=${place.back}>${back}</button>
    <span class="muted figure">Page ${place.number}</span>
    <button disabled=${!page?.nextPageToken || turning} onClick=${() => place.onward(page.nextPageToken)}>${onward}</button>
  </nav>`;
}

export const Table = ({ label, columns, rows, keyOf = (row) => row.name }) => html`<table class="table" aria-label=${label}>
  <thead><tr>${columns.map(({ title }) => html`<th scope="col">${title || html`<span class="unseen">What can be done</span>`}</th>`)}</tr></thead>
  <tbody>
    ${rows.map((row) => html`<tr key=${keyOf(row)}>
      ${columns.map(({ title, cell }) => html`<td data-title=${title}><div class=${title ? "" : "row-actions"}>${cell(row)}</div></td>`)}
    </tr>`)}
  </tbody>
</table>`;

/** Chooses what of a list is shown. `options`: [value, text] each. */
export const Filter = ({ label, options, place }) => html`<div class="filter">
  <span class="label" aria-hidden="true">${label}</span>
  <select aria-label=${label} value=${place.filter} onInput=${(event) => place.choose(event.target.value)}>
    ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
  </select>
</div>`;
