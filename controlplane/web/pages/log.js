// What a session printed: stored lines, the newest first asked for and the oldest first shown, with a search.
import { html, useState } from "../dom.js";
import { Pager } from "../listing.js";
import { Panel } from "../page.js";

const STREAMS = { LOG_STREAM_STDERR: "bad", LOG_STREAM_WRAPPER: "busy" };

export function LogPanel({ page, place }) {
  const [text, setText] = useState(place.filter);
  const search = (event) => (event.preventDefault(), place.choose(text));
  const lines = page?.items.toReversed() ?? [];
  return html`<${Panel} title="Log">
    <form class="prompt" role="search" onSubmit=${search}>
      <input type="search" aria-label="Only lines that contain" placeholder="Lines that contain …" maxlength="500" value=${text}
        onInput=${(event) => setText(event.target.value)} />
      <button>Search</button>
    </form>
    ${!page
      ? html`<p class="empty">Reading …</p>`
      : lines.length === 0
        ? html`<p class="empty">${page.nextPageToken ? "Nothing in this part of the log; look further back." : place.filter ? "No stored line contains that." : "Nothing is stored of what it printed. Lines reach the store some seconds after they are printed."}</p>`
        : html`<pre class="output log" tabindex="0" aria-label="Stored lines">${lines.map(
            (line) => html`<span class=${STREAMS[line.stream] ?? ""} title="${line.time}, generation ${line.generation}">${`${line.text}\n`}</span>`,
          )}</pre>`}
    <${Pager} label="Pages of the log" page=${page} place=${place} back="Later" onward="Earlier" />
  <//>`;
}
