// Where there is room, what may be rented, what it costs, and what keeps more from coming.
import { api } from "../api.js";
import { html } from "../dom.js";
import { TONES, duration, idOf, money, plural, seconds, word } from "../format.js";
import { Filter, Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Page, When, useSteering } from "../page.js";
import { hashOf } from "../router.js";
import { Chip, Meter } from "../ui.js";
import { poolColumns, poolForm, replacementColumns } from "./pools.js";

// Few enough for one answer each, as the API has them.
const whole = (list) => api.page(list, {});
const TOUCHED = { vms: ["capacities", "pools", "budget", "replacements", "machines"], sessions: ["capacities", "pools"], regions: ["regions"] };

export function CapacityPage(shell) {
  const replacements = usePlace("replacements", 10);
  const machines = usePlace("machines", 10);
  const states = machines.filter ? [machines.filter] : [];
  const lists = {
    regions: () => whole("regions"), capacities: () => whole("regions:capacity"), templates: () => whole("templates"),
    pools: () => whole("pools"), budget: () => api.read("budget"), replacements: () => replacements.read("replacements"),
    machines: () => machines.read("vms", { states }),
  };
  const live = useLive({ lists, touched: TOUCHED, subjects: ["vms", "sessions", "regions"] }, [replacements.key, machines.key]);
  const steering = useSteering(live.refresh);
  const { regions, capacities, budget } = live;
  const capacityOf = new Map((capacities?.items ?? []).map((one) => [one.region, one]));
  const pooled = new Set((live.pools?.items ?? []).filter((pool) => pool.minFreeSlots > 0).map((pool) => pool.region));
  const rows = regions && { items: regions.items.map((region) => {
    const now = capacityOf.get(region.name) ?? {};
    // Where nothing serves and no pool wants it to, nothing can run low.
    return { ...region, now, served: vmsOf(now).length > 0 || pooled.has(region.regionId) };
  }) };
  const rentable = regions?.items.filter((region) => region.maxRentedVms > 0) ?? [];
  return html`<${Page} shell=${shell} at="#/capacity" title="Capacity" live=${live} steering=${steering}>
    ${budget && html`<${Summary} budget=${budget} capacities=${capacities.items} steering=${steering} />`}
    <${Listing} title="Regions" page=${rows} columns=${regionColumns(steering)} keyOf=${(one) => one.regionId}
      empty=${html`There is no region. Make one with <code>quarterdeck regions create</code>.`} />
    <${Listing} title="Pools" page=${live.pools} columns=${poolColumns(steering)}
      actions=${rentable.length > 0 && html`<button onClick=${() => steering.ask(poolForm(rentable, live.templates.items))}>New pool</button>`}
      empty=${rentable.length > 0
        ? "No pool keeps slots free. Machines are rented for sessions that wait, and for them alone."
        : "No pool keeps slots free. First set the limit of a region: so many machines may be rented there by themselves."} />
    <${Listing} title="Replacements" page=${live.replacements} place=${replacements} columns=${replacementColumns(steering)}
      empty="No machine is being replaced. Replace one on its own page, or all of a pool above." />
    <${Listing} title="All VMs" page=${live.machines} place=${machines} columns=${MACHINES}
      actions=${html`<${Filter} label="State" options=${STATES} place=${machines} />`}
      empty=${machines.filter ? "None of these." : html`There was never a machine. Bring one of your own with <code>quarterdeck vms create</code>.`} />
  <//>`;
}

function Summary({ budget, capacities, steering }) {
  const sum = (field) => capacities.reduce((total, one) => total + (one[field] ?? 0), 0);
  const anywhere = capacities[0]?.waitingAnywhereSessions ?? 0; // in each region's number, and once in all
  return html`<dl class="summary" aria-label="Capacity at a glance">
    <div><dt>Free slots</dt><dd>${sum("freeSlots")}</dd></div>
    <div><dt>Waiting sessions</dt><dd>${sum("waitingSessions") - anywhere * (capacities.length - 1)}</dd></div>
    <div><dt>Rented machines</dt><dd>${budget.rentedVms ?? 0}</dd></div>
    <div class="wide"><dt>Spent an hour, of the budget</dt>
      <dd class="spending"><span class="figure">${money(budget.spentMicroPerHour)}<small> of ${money(budget.microPerHour, budget.currency)}</small></span>
        <button onClick=${() => steering.ask(budgetForm(budget))}>Set the budget</button></dd>
    </div>
  </dl>`;
}

const STATES = [["", "any"], ...Object.keys(TONES).filter((state) => state.startsWith("VM_")).map((state) => [state, word(state).toLowerCase()])];

// The fleet shows what is there; here are those that are gone too, with what they went through.
const MACHINES = [
  { title: "VM", cell: (one) => html`<a href=${hashOf(one.name)}><b>${idOf(one.name)}</b></a>` },
  { title: "State", cell: (one) => html`<${Chip} state=${one.state} />` },
  { title: "Why", cell: (one) => one.reasonDetail },
  { title: "What it is", cell: (one) => [one.provider, one.region, one.template].join(" · ") },
  { title: "Since", cell: (one) => html`<${When} time=${one.createTime} />` },
  { title: "Changed", cell: (one) => html`<${When} time=${one.updateTime} />` },
];

const budgetForm = (budget) => ({
  title: "Budget by the hour", verb: "Set",
  text: "What machines that are rented by themselves may cost together. What costs nothing needs none; what runs already goes on.",
  fields: [
    { name: "amount", label: "An hour", type: "number", min: 0, value: Number(budget.microPerHour ?? 0) / 1e6 },
    { name: "currency", label: "Currency", value: budget.currency || "USD", pattern: "[A-Z]{3}", maxlength: 3 },
  ],
  onSend: ({ amount, currency }) => api.change("budget", { microPerHour: String(Math.round(Number(amount) * 1e6)), currency }),
});

const regionColumns = (steering) => [
  { title: "Region", cell: (one) => html`<b>${one.displayName || one.regionId}</b> <span class="muted">${one.regionId}</span>
      ${one.now.blocked && html`<span class="warn told">${one.now.blocked}</span>`}` },
  { title: "VMs", cell: ({ now }) => counted(now) },
  { title: "Used", cell: ({ now, regionId }) => now.capacityUnits > 0 && html`<${Meter} used=${now.usedUnits} capacity=${now.capacityUnits} label="Used capacity of ${regionId}" />` },
  { title: "Free slots", cell: (one) => html`<span class="figure ${one.served && one.now.freeSlots < one.lowWaterSlots ? "warn" : ""}">${one.now.freeSlots ?? 0}
      ${one.served && one.lowWaterSlots > 0 && html`<small> low under ${one.lowWaterSlots}</small>`}</span>` },
  { title: "Waiting", cell: ({ now }) => now.waitingSessions > 0 && html`<span class="figure">${now.waitingSessions}
      ${now.expectedWait && html`<small> about ${duration(seconds(now.expectedWait))}</small>`}</span>` },
  { title: "Rented", cell: (one) => html`<span class="figure">${one.now.rentedVms ?? 0}<small> of ${one.maxRentedVms}</small></span>` },
  { title: "Then tried", cell: (one) => one.fallbackChain.length > 0 && html`<span class="muted">${one.fallbackChain.join(" → ")}</span>` },
  { title: "", cell: (one) => html`<button aria-label="Edit ${one.regionId}" onClick=${() => steering.ask(regionForm(one))}>Edit</button>` },
];

/** The machines of a region, by what they do: [how many, word] each. */
const vmsOf = ({ availableVms = 0, provisioningVms = 0, drainingVms = 0, unavailableVms = 0 }) =>
  [[availableVms, "serving"], [provisioningVms, "coming"], [drainingVms, "draining"], [unavailableVms, "away"]].filter(([count]) => count > 0);

const counted = (now) => vmsOf(now).map(([count, word]) => `${count} ${word}`).join(", ") || html`<span class="muted">none</span>`;

const regionForm = (region) => ({
  title: region.displayName || region.regionId, verb: "Set",
  fields: [
    { name: "maxRentedVms", label: "Machines rented by themselves, at most", type: "number", min: 0, value: region.maxRentedVms,
      hint: `For sessions that wait and for pools, over all projects; 0: none. ${plural(region.now.rentedVms ?? 0, "is", "are")} rented.` },
    { name: "lowWaterSlots", label: "Tell when fewer slots are free than", type: "number", min: 0, value: region.lowWaterSlots, hint: "By the event quarterdeck.region.low_capacity; 0: never." },
    { name: "chain", label: "Then tried, in this order", value: region.fallbackChain.join(", "), required: false, hint: "Ids of regions, with commas between." },
  ],
  onSend: ({ maxRentedVms, lowWaterSlots, chain }) =>
    api.change(region.name, {
      maxRentedVms: Number(maxRentedVms), lowWaterSlots: Number(lowWaterSlots),
      fallbackChain: chain.split(/[\s,→]+/).filter(Boolean),
    }),
});
