// VMs and the hosts on them: state, capacity, heartbeat, and what an operator may do.
import { api } from "../api.js";
import { html, useState } from "../dom.js";
import { ago, duration, gibibytes, idOf, since, tone, word } from "../format.js";
import { Chip, Confirm, Meter } from "../ui.js";

const DRAINABLE = new Set(["VM_STATE_READY", "VM_STATE_IN_USE"]);

export function Vms({ vms, hosts, loaded, act }) {
  const [ending, setEnding] = useState(null);
  const hostOf = new Map(hosts.map((host) => [host.vm || `vms/${idOf(host.name)}`, host]));
  const answer = (yes) => {
    const vm = ending;
    setEnding(null);
    if (yes) act(() => api.terminateVm(vm.name, (vm.activeSessions ?? 0) > 0));
  };
  return html`<section class="panel" aria-labelledby="vms-title">
      <h2 id="vms-title">VMs and hosts</h2>
      ${vms.length === 0
        ? html`<p class="empty">${loaded ? "No machine is enrolled yet." : "Reading …"}</p>`
        : html`<ul class="rows">${vms.map(
            (vm) => html`<${Row} key=${vm.name} vm=${vm} host=${hostOf.get(vm.name)} act=${act} onEnd=${() => setEnding(vm)} />`,
          )}</ul>`}
    </section>
    ${ending && html`<${ConfirmEnd} vm=${ending} onAnswer=${answer} />`}`;
}

function ConfirmEnd({ vm, onAnswer }) {
  const playing = vm.activeSessions ?? 0;
  return html`<${Confirm} title="Terminate ${idOf(vm.name)}?" verb=${playing ? "End sessions and terminate" : "Terminate"} onAnswer=${onAnswer}>
    <p>${playing
      ? html`<b>${playing === 1 ? "One session plays" : `${playing} sessions play`}</b> on this VM and will be ended first. Drain it instead to let them finish.`
      : "The VM leaves the fleet for good."}</p>
  <//>`;
}

function Row({ vm, host, act, onEnd }) {
  const id = idOf(vm.name);
  return html`<li class="row vm">
    <div class="title">
      <b>${id}</b>
      <span class="muted">${[...new Set([vm.region, vm.template, vm.provider])].filter(Boolean).join(" · ")}</span>
    </div>
    <div class="chips">
      <${Chip} state=${vm.state} title=${vm.reasonDetail} />
      ${host && html`<${Chip} state=${host.state} label="Host ${word(host.state).toLowerCase()}" />`}
      ${host?.revoked && html`<${Chip} as="bad" label="Revoked" />`}
    </div>
    <div class="where">
      <${Meter} used=${vm.usedUnits ?? 0} capacity=${vm.capacityUnits ?? 0} label="Used capacity of ${id}" />
      ${host && html`<${Beat} host=${host} />`}
    </div>
    <div class="row-actions">
      ${vm.state === "VM_STATE_DRAINING"
        ? html`<button onClick=${() => act(() => api.undrainVm(vm.name))}>Undrain</button>`
        : html`<button disabled=${!DRAINABLE.has(vm.state)} onClick=${() => act(() => api.drainVm(vm.name))}>Drain</button>`}
      <button class="danger" onClick=${onEnd}>Terminate</button>
    </div>
    <${Trouble} vm=${vm} />
    ${host?.inventory && html`<${Inventory} host=${host} vm=${vm} />`}
  </li>`;
}

/** What went wrong last, and when it is tried again. */
function Trouble({ vm }) {
  const { errorCode, errorMessage, nextAttemptTime } = vm.provisioning ?? {};
  const broken = vm.state === "VM_STATE_ERROR";
  const what = errorCode ? `${errorCode}: ${errorMessage}` : broken ? vm.reasonDetail : "";
  if (!what || vm.state === "VM_STATE_TERMINATED") return null;
  const wait = nextAttemptTime ? Math.ceil((Date.parse(nextAttemptTime) - Date.now()) / 1000) : null;
  const next = wait === null ? "" : wait > 0 ? ` · next attempt in ${duration(wait)}` : " · next attempt now";
  return html`<p class="trouble ${broken ? "bad" : "warn"}">${what}${next}</p>`;
}

function Beat({ host }) {
  const age = host.lastHeartbeatTime ? since(host.lastHeartbeatTime) : null;
  const quiet = tone(host.state) === "good" ? "muted" : tone(host.state);
  return html`<span class=${quiet}>${age === null ? "no heartbeat yet" : `last heartbeat ${ago(age)}`}</span>`;
}

function Inventory({ host, vm }) {
  const { cpuCount, memoryBytes, gpus = [], encoders = [], runtimes = [], agentVersion } = host.inventory;
  const behind = Number(host.planVersion ?? 0) > Number(host.observedPlanVersion ?? 0);
  const facts = [
    `${cpuCount ?? 0} CPUs`,
    gibibytes(memoryBytes),
    gpus.map((gpu) => gpu.model).join(", "),
    encoders.map((encoder) => `${encoder.encoderName} × ${encoder.slots ?? 0}`).join(", "),
    runtimes.join(", "),
    vm.advertisedAddress,
    agentVersion && `agent ${agentVersion}`,
    `epoch ${host.epoch ?? 0}`,
    `plan ${host.observedPlanVersion ?? 0}${behind ? ` of ${host.planVersion}` : ""}`,
  ];
  return html`<p class="inventory ${behind ? "behind" : ""}">${facts.filter(Boolean).map((fact) => html`<span>${fact}</span>`)}</p>`;
}
