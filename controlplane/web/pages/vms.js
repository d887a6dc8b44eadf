// VMs and the hosts on them: state, capacity, heartbeat, and what an operator may do.
import { html } from "../dom.js";
import { ago, duration, gibibytes, idOf, since, tone, word } from "../format.js";
import { hashOf } from "../router.js";
import { Chip, Meter } from "../ui.js";
import { VmActions } from "./vmsteering.js";

export function Vms({ vms, hosts, steering }) {
  const hostOf = new Map((hosts ?? []).map((host) => [host.vm || `vms/${idOf(host.name)}`, host]));
  return html`<section class="panel" aria-labelledby="vms-title">
    <h2 id="vms-title">VMs and hosts</h2>
    ${!vms
      ? html`<p class="empty">Reading …</p>`
      : vms.length === 0
        ? html`<p class="empty">No machine is enrolled yet. Bring one of your own with <code>quarterdeck vms create</code>, or let
            machines be rented: set the limit of a region under <a href="#/capacity">Capacity</a>.</p>`
        : html`<ul class="rows">${vms.map(
            (vm) => html`<${Row} key=${vm.name} vm=${vm} host=${hostOf.get(vm.name)} steering=${steering} />`,
          )}</ul>`}
  </section>`;
}

export const VmChips = ({ vm, host }) => html`<div class="chips">
  <${Chip} state=${vm.state} title=${vm.reasonDetail} />
  ${host && html`<${Chip} state=${host.state} label="Host ${word(host.state).toLowerCase()}" />`}
  ${host?.revoked && html`<${Chip} as="bad" label="Revoked" />`}
</div>`;

function Row({ vm, host, steering }) {
  const id = idOf(vm.name);
  return html`<li class="row vm">
    <div class="title">
      <b><a href=${hashOf(vm.name)}>${id}</a></b>
      <span class="muted">${[...new Set([vm.region, vm.template, vm.provider])].filter(Boolean).join(" · ")}</span>
    </div>
    <${VmChips} vm=${vm} host=${host} />
    <div class="where">
      <${Meter} used=${vm.usedUnits ?? 0} capacity=${vm.capacityUnits ?? 0} label="Used capacity of ${id}" />
      ${host && html`<${Beat} host=${host} />`}
    </div>
    <div class="row-actions">
      <${VmActions} vm=${vm} steering=${steering} only=${["drain", "undrain", "start", "terminate"]} />
    </div>
    <${Trouble} vm=${vm} />
    ${host?.inventory && html`<${Inventory} host=${host} vm=${vm} />`}
  </li>`;
}

/** What went wrong last, and when it is tried again. */
export function Trouble({ vm }) {
  const { errorCode, errorMessage, nextAttemptTime } = vm.provisioning ?? {};
  const broken = vm.state === "VM_STATE_ERROR";
  const what = errorCode ? `${errorCode}: ${errorMessage}` : broken ? vm.reasonDetail : "";
  if (!what || vm.state === "VM_STATE_TERMINATED") return null;
  const wait = nextAttemptTime ? Math.ceil((Date.parse(nextAttemptTime) - Date.now()) / 1000) : null;
  const next = wait === null ? "" : wait > 0 ? ` · next attempt in ${duration(wait)}` : " · next attempt now";
  return html`<p class="trouble ${broken ? "bad" : "warn"}">${what}${next}</p>`;
}

export function Beat({ host }) {
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
