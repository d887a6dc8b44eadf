// Dead letters: messages that a consumer has given up, to look at, to try again, to drop.
import { api } from "../api.js";
import { legible } from "../bytes.js";
import { html } from "../dom.js";
import { size } from "../format.js";
import { Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Page, When, useSteering } from "../page.js";
import { Chip } from "../ui.js";

export function DeadLettersPage(shell) {
  const place = usePlace("letters", 25);
  // No event tells of a dead letter: the stream only says whether the control plane is there, the sweep finds them.
  const live = useLive({ lists: { letters: () => place.read("deadLetters") }, subjects: ["deadLetters"] }, [place.key]);
  const steering = useSteering(live.refresh);
  return html`<${Page} shell=${shell} at="#/dead-letters" title="Dead letters" live=${live} steering=${steering}>
    ${!(live.error && !live.letters) && html`<${Listing} title="Dead letters" page=${live.letters} place=${place} columns=${columns(steering)}
      empty="None: every message found its consumer. One that fails five times in a row is kept here instead of holding up the others." />`}
  <//>`;
}

const columns = (steering) => [
  { title: "Given up by", cell: (one) => one.consumer },
  { title: "Subject", cell: (one) => one.subject ? html`<code>${one.subject}</code>` : html`<span class="muted">never on the bus</span>` },
  { title: "Error", cell: (one) => one.error },
  { title: "Last try", cell: (one) => html`<${When} time=${one.time} />` },
  { title: "Size", cell: (one) => html`<span class="figure">${size(one.payloadBytes)}</span>` },
  { title: "", cell: (one) => html`
      <button onClick=${() => steering.act(() => show(one, steering))}>Show</button>
      ${one.replayTime
        ? html`<${Chip} as="busy" label="Being replayed" />`
        : one.subject && html`<button onClick=${() => steering.act(() => api.act(one.name, "replay"))}>Replay</button>`}
      <button class="danger" onClick=${() => steering.ask(deleteQuestion(one))}>Delete</button>` },
];

async function show({ name }, steering) {
  const letter = await api.read(name);
  steering.ask({
    title: `Dead letter of ${letter.consumer}`, verb: letter.subject && "Replay", onSend: () => api.act(name, "replay"), wide: true,
    text: html`<p>${letter.error}</p><pre class="output payload" tabindex="0" aria-label="The message">${legible(letter.payload)}</pre>
      <p class="hint">${letter.subject ? html`Replaying hands it to its consumer once more: it is gone when that succeeds, else it stays with the new error.` : "It was never a message on the bus, and can only be deleted."}</p>`,
  });
}

const deleteQuestion = (letter) => ({
  title: "Delete this dead letter?", verb: "Delete", danger: true, onSend: () => api.remove(letter.name),
  text: html`What it tells is never handled by <b>${letter.consumer}</b>.`,
});
