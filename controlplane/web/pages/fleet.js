// The fleet: what runs where, live, and the way to a new session.
import { html, useEffect, useRef, useState } from "../dom.js";
import { watchFleet } from "../fleet.js";
import { Masthead, Meter, Problem, useTitle } from "../ui.js";
import { Launch } from "./launch.js";
import { Sessions } from "./sessions.js";
import { Vms } from "./vms.js";

export function FleetPage({ account, onSignOut }) {
  const operator = account.role === "ROLE_OPERATOR";
  const [fleet, setFleet] = useState({ sessions: null, finished: [], vms: [], hosts: [], link: "polling", error: null });
  const [problem, setProblem] = useState(null);
  useTitle("Fleet");
  const watch = useRef(null);
  useEffect(() => {
    watch.current = watchFleet(operator, setFleet);
    return () => watch.current.close();
  }, [operator]);
  /** Runs an action of the page: shows its refusal, and reads the fleet again. */
  const act = async (action) => {
    setProblem(null);
    try {
      return await action();
    } catch (error) {
      setProblem(error);
    } finally {
      watch.current?.refresh();
    }
  };
  const shown = problem ?? (fleet.error?.retryable ? null : fleet.error);
  return html`<${Masthead} account=${account} link=${fleet.link} onSignOut=${onSignOut} />
    <main class="fleet">
      <${Problem} error=${shown} onClose=${() => setProblem(null)} />
      ${operator && html`<${Summary} fleet=${fleet} />`}
      <div class="columns">
        <div class="main">
          <${Sessions} sessions=${fleet.sessions} finished=${fleet.finished} operator=${operator} act=${act} />
          ${operator && html`<${Vms} vms=${fleet.vms} hosts=${fleet.hosts} loaded=${fleet.sessions !== null} act=${act} />`}
        </div>
        <${Launch} />
      </div>
    </main>`;
}

function Summary({ fleet }) {
  const sum = (field) => fleet.vms.reduce((total, vm) => total + (vm[field] ?? 0), 0);
  const count = (list, field, ...states) => (list ?? []).filter((one) => states.some((s) => one[field].endsWith(s))).length;
  const playing = count(fleet.sessions, "state", "_RUNNING");
  const waiting = count(fleet.sessions, "state", "_PENDING");
  const online = count(fleet.hosts, "state", "_ONLINE");
  return html`<dl class="summary" aria-label="The fleet at a glance">
    <div><dt>Sessions running</dt><dd>${playing}</dd></div>
    <div><dt>In the queue</dt><dd>${waiting}</dd></div>
    <div><dt>Hosts online</dt><dd>${online}<small> of ${fleet.hosts.length}</small></dd></div>
    <div class="wide"><dt>Capacity</dt>
      <dd><${Meter} used=${sum("usedUnits")} capacity=${sum("capacityUnits")} label="Used capacity of the fleet" /></dd>
    </div>
  </dl>`;
}
