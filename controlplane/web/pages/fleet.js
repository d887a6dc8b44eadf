// The fleet: what runs where, live, and the way to a new session.
import { FINISHED_SESSIONS, LIVE_SESSIONS, api } from "../api.js";
import { html } from "../dom.js";
import { useLive } from "../live.js";
import { Page, useSteering } from "../page.js";
import { Meter, isOperator } from "../ui.js";
import { Launch } from "./launch.js";
import { Sessions } from "./sessions.js";
import { Vms } from "./vms.js";

const SESSIONS = {
  sessions: () => api.sessions(LIVE_SESSIONS, 500),
  finished: () => api.sessions(FINISHED_SESSIONS, 20),
};
const FLEET = { ...SESSIONS, vms: () => api.vms(), hosts: () => api.hosts() };
// What an event about a resource may have changed: a session takes and frees units of its VM.
const TOUCHED = { sessions: ["sessions", "finished", "vms"], vms: ["vms"], hosts: ["hosts", "vms", "sessions"] };

export function FleetPage({ account, onSignOut }) {
  const operator = isOperator(account);
  const live = useLive({ lists: operator ? FLEET : SESSIONS, touched: TOUCHED });
  const steering = useSteering(live.refresh);
  return html`<${Page} shell=${{ account, onSignOut }} at="#/" title="Fleet" live=${live} steering=${steering}>
    ${operator && html`<${Summary} fleet=${live} />`}
    <div class="columns">
      <div class="main">
        <${Sessions} sessions=${live.sessions} finished=${live.finished} operator=${operator} steering=${steering} />
        ${operator && html`<${Vms} vms=${live.vms} hosts=${live.hosts} steering=${steering} />`}
      </div>
      <${Launch} />
    </div>
  <//>`;
}

function Summary({ fleet }) {
  const { vms = [], hosts = [] } = fleet;
  const sum = (field) => vms.reduce((total, vm) => total + (vm[field] ?? 0), 0);
  const count = (list, field, ...states) => (list ?? []).filter((one) => states.some((s) => one[field].endsWith(s))).length;
  const playing = count(fleet.sessions, "state", "_RUNNING");
  const waiting = count(fleet.sessions, "state", "_PENDING");
  const online = count(hosts, "state", "_ONLINE");
  return html`<dl class="summary" aria-label="The fleet at a glance">
    <div><dt>Sessions running</dt><dd>${playing}</dd></div>
    <div><dt>In the queue</dt><dd>${waiting}</dd></div>
    <div><dt>Hosts online</dt><dd>${online}<small> of ${hosts.length}</small></dd></div>
    <div class="wide"><dt>Capacity</dt>
      <dd><${Meter} used=${sum("usedUnits")} capacity=${sum("capacityUnits")} label="Used capacity of the fleet" /></dd>
    </div>
  </dl>`;
}
