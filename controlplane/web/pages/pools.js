// Pools, and the replacement of machines: columns and forms of the capacity page.
import { api, clientToken } from "../api.js";
import { html } from "../dom.js";
import { idOf, plural, seconds, span } from "../format.js";
import { When } from "../page.js";
import { Chip } from "../ui.js";

export const poolColumns = (steering) => [
  { title: "Pool", cell: (one) => html`<b>${idOf(one.name)}</b> <span class="muted">${[one.provider, one.region, one.template].join(" · ")}</span>
      ${one.blocked && html`<span class="warn told">${one.blocked}</span>`}` },
  { title: "Free slots", cell: (one) => html`<span class="figure ${one.freeSlots < one.minFreeSlots ? "warn" : ""}">${one.freeSlots}<small> of ${one.minFreeSlots} wanted${one.bufferSlots > 0 ? `, ${one.bufferSlots} to spare` : ""}</small></span>` },
  { title: "VMs", cell: (one) => html`<span class="figure">${one.availableVms}<small> serving${one.comingVms > 0 ? `, ${one.comingVms} coming` : ""}${one.leavingVms > 0 ? `, ${one.leavingVms} leaving` : ""}; ${one.maxVms} at most</small></span>` },
  { title: "Sessions", cell: (one) => html`<span class="figure">${one.activeSessions}</span>` },
  { title: "Given back", cell: (one) => `after ${span(seconds(one.idleAfter))} empty${one.scaleToZero ? ", all of them" : ""}` },
  { title: "", cell: (one) => html`
      <button aria-label="Edit pool ${idOf(one.name)}" onClick=${() => steering.ask(editForm(one))}>Edit</button>
      <button aria-label="Replace the machines of pool ${idOf(one.name)}" onClick=${() => steering.ask(replaceQuestion(one))}>Replace</button>
      <button class="danger" aria-label="Delete pool ${idOf(one.name)}" onClick=${() => steering.ask(deleteQuestion(one))}>Delete</button>` },
];

const figures = (pool = {}) => [
  { name: "minFreeSlots", label: "Slots to keep free", type: "number", min: 0, value: pool.minFreeSlots ?? 1, hint: "With fewer, and none coming, another machine is rented." },
  { name: "bufferSlots", label: "Slots to spare", type: "number", min: 0, value: pool.bufferSlots ?? 0, hint: "A machine goes only while so many more stay free without it." },
  { name: "maxVms", label: "Machines, at most", type: "number", min: 0, value: pool.maxVms ?? 1 },
  { name: "idleMinutes", label: "Minutes empty before one is given back", type: "number", min: 0, value: pool.idleAfter ? seconds(pool.idleAfter) / 60 : 10 },
  { name: "scaleToZero", label: "Let all of them go while nobody plays", type: "checkbox", value: pool.scaleToZero ?? false },
];

/** The values of `figures`, as the API takes them. */
const given = ({ minFreeSlots, bufferSlots, maxVms, idleMinutes, scaleToZero }) => ({
  minFreeSlots: Number(minFreeSlots), bufferSlots: Number(bufferSlots), maxVms: Number(maxVms),
  idleAfter: `${Math.max(1, Math.round(Number(idleMinutes) * 60))}s`, scaleToZero,
});

const editForm = (pool) => ({
  title: `Pool ${idOf(pool.name)}`, verb: "Set", fields: figures(pool), onSend: (values) => api.change(pool.name, given(values)),
});

/** `regions`: those that let machines be rented. */
export const poolForm = (regions, templates) => ({
  title: "New pool", verb: "Make it",
  text: "Machines of one kind are rented and given back so that slots stay free.",
  fields: [
    { name: "poolId", label: "Name", pattern: "[a-z][a-z0-9\\-]{0,62}", hint: "Small letters, figures and hyphens." },
    { name: "provider", label: "Provider", value: "local" },
    { name: "region", label: "Region", value: regions[0].regionId, options: regions.map((one) => [one.regionId, one.displayName || one.regionId]) },
    { name: "template", label: "Template", value: templates[0]?.templateId, options: templates.map((one) => [one.templateId, one.displayName || one.templateId]) },
    ...figures(),
  ],
  onSend: ({ poolId, provider, region, template, ...values }) =>
    api.create(`pools?${new URLSearchParams({ poolId })}`, { provider, region, template, ...given(values) }),
});

const replaceQuestion = (pool) => {
  const body = { scope: pool.name, clientToken: clientToken() };
  return {
    title: `Replace the machines of ${idOf(pool.name)}?`, verb: "Replace", onSend: () => api.create("replacements", body),
    text: `${plural(pool.availableVms, "machine")}, one after another: a successor is rented, then the old one is drained and given back after its last session. No session is ended.`,
  };
};

const deleteQuestion = (pool) => ({
  title: `Delete pool ${idOf(pool.name)}?`, verb: "Delete", danger: true, onSend: () => api.remove(pool.name),
  text: "Its machines go, each when it has been empty for long enough. No session is ended.",
});

export const replacementColumns = (steering) => [
  { title: "VM", cell: (one) => html`<a href="#/${one.vm}">${idOf(one.vm)}</a>` },
  { title: "State", cell: (one) => html`<${Chip} state=${one.state} />` },
  { title: "Successor", cell: (one) => one.successor && html`<a href="#/${one.successor}">${idOf(one.successor)}</a>` },
  { title: "Of", cell: (one) => one.scope },
  { title: "How it goes", cell: (one) => one.detail },
  { title: "Changed", cell: (one) => html`<${When} time=${one.updateTime} />` },
  { title: "", cell: (one) => one.state === "REPLACEMENT_STATE_QUEUED" && html`<button aria-label="Call off the series of ${idOf(one.vm)}"
      onClick=${() => steering.act(() => api.act(one.name, "cancel"))}>Call off</button>` },
];
