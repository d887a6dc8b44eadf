// One VM: how it is, what it can do, what it went through, who is on it, and what may be done with it.
import { api, clientToken } from "../api.js";
import { html } from "../dom.js";
import { duration, gibibytes, idOf, money, seconds, size, word } from "../format.js";
import { Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Facts, Page, Panel, When, useSteering } from "../page.js";
import { Chip, Meter } from "../ui.js";
import { Events, eventsOf } from "./events.js";
import { sessionColumns } from "./history.js";
import { Beat, Trouble, VmChips } from "./vms.js";
import { VmActions } from "./vmsteering.js";

const ALL = ["vm", "host", "heard", "sessions", "transitions", "attempts", "ports"];
const TOUCHED = { vms: ALL, hosts: ALL, sessions: ["vm", "sessions", "ports"] };

export function VmPage({ id, ...shell }) {
  const name = `vms/${id}`;
  const places = {
    sessions: usePlace("sessions", 10), transitions: usePlace("transitions", 10),
    attempts: usePlace("attempts", 10), heard: usePlace("heard", 10), ports: usePlace("ports", 20),
  };
  const lists = {
    vm: () => api.read(name),
    // A machine that is on its way has no host yet.
    host: () => api.read(`hosts/${id}`).catch((error) => (error.status === 404 ? null : Promise.reject(error))),
    sessions: () => places.sessions.read("sessions", { vm: name }),
    transitions: () => places.transitions.read(`${name}/transitions`),
    attempts: () => places.attempts.read(`${name}/attempts`),
    heard: () => eventsOf(places.heard, `hosts/${id}`),
    ports: () => places.ports.read(`${name}/ports`),
  };
  const subjects = [name, `hosts/${id}`, "sessions"];
  const live = useLive({ lists, touched: TOUCHED, subjects }, Object.values(places).map((place) => place.key));
  const steering = useSteering(live.refresh);
  const { vm, host } = live;
  return html`<${Page} shell=${shell} at="#/" title=${id} live=${live} steering=${steering} ready=${Boolean(vm)}>
    ${vm && html`<${Head} vm=${vm} host=${host} steering=${steering} />
      ${host?.inventory && html`<${Capabilities} host=${host} />`}
      <${Listing} title="Sessions" page=${live.sessions} place=${places.sessions} columns=${sessionColumns(false)}
        empty="No session was on it yet." />
      <${Listing} title="History" page=${live.transitions} place=${places.transitions} columns=${TRANSITIONS} keyOf=${(one) => one.version}
        empty="Nothing has happened to it yet." />
      <${Events} title="Host events" page=${live.heard} place=${places.heard} />
      ${vm.provisioning && html`<${Listing} title="Attempts" page=${live.attempts} place=${places.attempts} columns=${ATTEMPTS}
        keyOf=${(one) => one.number} empty="No machine has been asked for yet." />`}
      <${Listing} title="Ports" page=${live.ports} place=${places.ports} columns=${portColumns(steering)}
        actions=${vm.state !== "VM_STATE_TERMINATED" && html`<button onClick=${() => steering.ask(reservation(name))}>Reserve a port</button>`}
        empty="No session holds a port, and none is reserved." />`}
  <//>`;
}

function Head({ vm, host, steering }) {
  const rented = vm.provisioning;
  return html`<section class="panel" aria-labelledby="vm-title">
    <div class="panel-head">
      <h1 id="vm-title">${idOf(vm.name)}</h1>
      <${VmChips} vm=${vm} host=${host} />
      <span class="spacer"></span>
      <div class="row-actions"><${VmActions} vm=${vm} steering=${steering} /></div>
    </div>
    <${Trouble} vm=${vm} />
    <${Facts} pairs=${[
      ["Capacity", html`<${Meter} used=${vm.usedUnits ?? 0} capacity=${vm.capacityUnits ?? 0} label="Used capacity" />`],
      ["Region", vm.region],
      ["Template", vm.template],
      ["Provider", vm.provider],
      ["Why", vm.reasonDetail],
      ["Address", vm.advertisedAddress],
      ["Ports for sessions", vm.portRange && `${vm.portRange.first}–${vm.portRange.last}`],
      ["Machine", rented && [rented.machineType, rented.instance].filter(Boolean).join(" · ")],
      ["Costs an hour", rented && money(rented.priceMicroPerHour, rented.currency)],
      ["Renting", rented && `${word(rented.phase)}, attempt ${rented.attempt}`],
      ["Tag", rented?.tag],
      ["Host", host && html`<${Beat} host=${host} />`],
      ["Since", html`<${When} time=${vm.createTime} />`],
    ]} />
  </section>`;
}

function Capabilities({ host }) {
  const { inventory, usage } = host;
  const { gpus = [], encoders = [], runtimes = [], ephemeralPorts = [] } = inventory;
  return html`<${Panel} title="Capabilities">
    <${Facts} pairs=${[
      ["Processors", inventory.cpuCount],
      ["Memory", gibibytes(inventory.memoryBytes)],
      ["Free disk", size(inventory.diskFreeBytes)],
      ["Graphics", gpus.map((gpu) => `${gpu.model} (${size(gpu.memoryBytes)})`).join(", ") || "none"],
      ["Encoders", encoders.map((one) => `${one.encoderName} × ${one.slots ?? 0}`).join(", ") || "none"],
      ["Runtimes", runtimes.join(", ") || "none"],
      ["Display server", inventory.hasDisplayServer ? "yes" : "no"],
      ["System", inventory.operatingSystem],
      ["Agent", `${inventory.agentVersion}, epoch ${host.epoch}`],
      ["Plan", Number(host.planVersion) > Number(host.observedPlanVersion) ? `${host.observedPlanVersion} of ${host.planVersion}` : host.planVersion],
      ["Kept for outgoing", ephemeralPorts.map(({ first, last }) => `${first}–${last}`).join(", ")],
      ["Sessions use", usage && `${duration(seconds(usage.cpuTime))} of processor, ${size(usage.memoryBytes)}`],
    ]} />
  <//>`;
}

const TRANSITIONS = [
  { title: "When", cell: (one) => html`<${When} time=${one.time} />` },
  { title: "State", cell: (one) => html`<${Chip} state=${one.state} />` },
  { title: "Because of", cell: (one) => one.trigger.replaceAll("_", " ") },
  { title: "Reason", cell: (one) => one.detail },
];

const OUTCOMES = { OPEN: "busy", SUCCEEDED: "good", FAILED: "bad", CALLED_OFF: "idle" };
const ATTEMPTS = [
  { title: "No.", cell: (one) => html`<span class="figure">${one.number}</span>` },
  { title: "To", cell: (one) => word(one.purpose).toLowerCase() },
  { title: "Outcome", cell: (one) => html`<${Chip} as=${OUTCOMES[one.outcome]} label=${word(one.outcome)} />` },
  { title: "Offer", cell: (one) => [one.provider, one.region, one.machineType].filter(Boolean).join(" · ") },
  { title: "An hour", cell: (one) => one.provider && html`<span class="figure">${money(one.priceMicroPerHour, one.currency)}</span>` },
  { title: "Began", cell: (one) => html`<${When} time=${one.startTime} />` },
  { title: "What went wrong", cell: (one) => one.errorCode && html`<code>${one.errorCode}</code> ${one.errorMessage}
      <span class="told muted">${[one.failureKind, one.remedy].filter(Boolean).map((said) => word(said).toLowerCase()).join(", ")}</span>` },
  { title: "Next attempt", cell: (one) => one.nextAttemptTime && html`<${When} time=${one.nextAttemptTime} />` },
];

const portColumns = (steering) => [
  { title: "Port", cell: (port) => html`<span class="figure">${port.protocol} ${port.hostPort}</span>` },
  { title: "State", cell: (port) => html`<${Chip} state=${port.state} />` },
  { title: "Session", cell: (port) => port.session && html`<a href="#/${port.session}"><code>${idOf(port.session)}</code></a> ${port.portName}` },
  { title: "Kept for", cell: (port) => port.purpose && html`${port.purpose} ${port.game && html`<span class="muted">(${idOf(port.game)})</span>`}` },
  { title: "Free", cell: (port) => port.freeTime && html`<${When} time=${port.freeTime} />` },
  { title: "", cell: (port) => port.purpose && html`<button aria-label="Release ${port.protocol} ${port.hostPort}" onClick=${() =>
      steering.ask(releaseOf(port))}>Release</button>` },
];

const releaseOf = (port) => ({
  title: `Release ${port.protocol} port ${port.hostPort}?`, verb: "Release", onSend: () => api.act(port.name, "release"),
  text: `It is kept for “${port.purpose}”. From then on any session may be given it.`,
});

function reservation(vm) {
  const token = clientToken();
  return {
    title: "Reserve a port", verb: "Reserve",
    text: "No session gets it until it is released.",
    fields: [
      { name: "protocol", label: "Protocol", value: "udp", options: [["udp", "UDP"], ["tcp", "TCP"]] },
      { name: "hostPort", label: "Number", type: "number", required: false, min: 1024, max: 65535, hint: "Empty: any free one of the VM's range." },
      { name: "purpose", label: "What for", maxlength: 200 },
    ],
    onSend: ({ hostPort, ...wish }) => api.create(`${vm}/ports`, { ...wish, hostPort: Number(hostPort || 0), clientToken: token }),
  };
}
