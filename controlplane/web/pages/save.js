// One save: its versions, which of them is next, and what may be done with it.
import { api } from "../api.js";
import { html } from "../dom.js";
import { idOf, plural, size } from "../format.js";
import { Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Facts, Page, When, useSteering } from "../page.js";
import { hashOf } from "../router.js";
import { Chip } from "../ui.js";
import { download } from "./backups.js";
import { Writer } from "./saves.js";

export function SavePage({ id, ...shell }) {
  const name = `saves/${id}`;
  const place = usePlace("versions", 20);
  const lists = { save: () => api.read(name), versions: () => place.read(`${name}/versions`) };
  const live = useLive({ lists, touched: { saves: Object.keys(lists) }, subjects: [name] }, [place.key]);
  const steering = useSteering(live.refresh);
  const { save } = live;
  return html`<${Page} shell=${shell} at="#/saves" title="Save ${id}" live=${live} steering=${steering} ready=${Boolean(save)}>
    ${save && html`<section class="panel" aria-labelledby="save-title">
        <div class="panel-head">
          <h1 id="save-title">${id}</h1>
          <span class="spacer"></span>
          <div class="row-actions">
            ${save.detail && html`<button class="danger" onClick=${() => steering.ask(releaseQuestion(save))}>Give up what is not stored</button>`}
            <button class="danger" disabled=${Boolean(save.session)} onClick=${() => steering.ask(deleteQuestion(save))}>Delete save</button>
          </div>
        </div>
        <${Facts} pairs=${[
          ["Game", idOf(save.game)],
          ["Next session begins with", save.currentVersion ? `version ${idOf(save.currentVersion)}` : "nothing: none is stored yet"],
          ["Written by", save.session && html`<${Writer} save=${save} />`],
          ["Not stored yet", save.detail],
          ["Since", html`<${When} time=${save.createTime} />`],
          ["Changed", html`<${When} time=${save.updateTime} />`],
        ]} />
      </section>
      <${Listing} title="Versions" page=${live.versions} place=${place} columns=${columns(save, steering)}
        empty="Nothing is stored yet. A version comes with the end of a session, and between where its deployment has an interval." />`}
  <//>`;
}

function columns(save, steering) {
  const current = (one) => one.name === save.currentVersion;
  return [
    { title: "Version", cell: (one) => html`<b class="figure">${idOf(one.name)}</b> ${current(one) && html`<${Chip} as="good" label="Current" />`}` },
    { title: "Stored", cell: (one) => html`<${When} time=${one.createTime} />` },
    { title: "From", cell: (one) => one.session && html`<a href=${hashOf(one.session)}><code>${idOf(one.session)}</code></a>
        <span class="told muted">${one.final ? "after its end" : "while it played"}</span>` },
    { title: "Holds", cell: (one) => `${plural(one.files, "file")}, ${size(one.contentBytes)}` },
    { title: "Size", cell: (one) => html`<span class="figure" title="SHA-256 ${one.sha256}">${size(one.sizeBytes)}</span>` },
    { title: "", cell: (one) => html`
        ${!current(one) && !save.session && html`<button aria-label="Restore version ${idOf(one.name)}" onClick=${() => steering.ask(restoreQuestion(save, one))}>Restore</button>`}
        <button aria-label="Download version ${idOf(one.name)}" onClick=${() => steering.act(() => download(one.name))}>Download</button>
        ${!current(one) && html`<button class="danger" aria-label="Delete version ${idOf(one.name)}" onClick=${() => steering.ask(deleteVersion(one))}>Delete</button>`}` },
  ];
}

const restoreQuestion = (save, version) => ({
  title: `Go back to version ${idOf(version.name)}?`, verb: "Restore",
  text: `The next session with ${idOf(save.name)} begins with it. Later versions stay.`,
  onSend: () => api.act(save.name, "restore", { version: Number(idOf(version.name)) }),
});

const deleteVersion = (version) => ({
  title: `Delete version ${idOf(version.name)}?`, verb: "Delete", danger: true, onSend: () => api.remove(version.name),
  text: "It is gone for good. Backups that were made of it stay.",
});

const deleteQuestion = (save) => ({
  title: `Delete ${idOf(save.name)}?`, verb: "Delete", danger: true, text: "The save is gone for good, with all its versions.",
  onSend: () => api.remove(save.name).then(() => location.replace("#/saves")),
});

const releaseQuestion = (save) => ({
  title: "Give up what is not stored?", verb: "Give up", danger: true, onSend: () => api.act(save.name, "release"),
  text: `${save.detail}\n\nWhat session ${idOf(save.session)} has not stored is lost; the next session begins with the current version.`,
});
