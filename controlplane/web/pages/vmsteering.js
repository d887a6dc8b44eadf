// How an operator steers a VM, on the fleet page and on its own.
import { api, clientToken } from "../api.js";
import { html } from "../dom.js";
import { idOf } from "../format.js";
import { verbsOf } from "../vmverbs.js";

/** Buttons of what fits the VM now. `only`: these verbs and no others. */
export function VmActions({ vm, steering, only }) {
  const verbs = verbsOf(vm).filter(({ verb }) => !only || only.includes(verb));
  return verbs.map(({ verb, label, asks, danger }) => {
    const go = () => (asks ? steering.ask(question(vm, verb)) : steering.act(() => api.act(vm.name, verb)));
    return html`<button key=${verb} class=${danger ? "danger" : ""} onClick=${go} aria-label="${label} ${idOf(vm.name)}">${label}</button>`;
  });
}

function question(vm, verb) {
  const id = idOf(vm.name);
  const playing = vm.activeSessions ?? 0;
  if (verb === "stop") {
    return {
      title: `Switch ${id} off?`, verb: "Switch off", onSend: () => api.act(vm.name, "stop"),
      text: "The rented machine is switched off and kept. It takes no sessions until it is started again.",
    };
  }
  if (verb === "replace") {
    const body = { scope: vm.name, clientToken: clientToken() };
    return {
      title: `Replace ${id}?`, verb: "Replace", onSend: () => api.create("replacements", body),
      text: "A successor of the same kind is rented. When it is ready this VM is drained, and given back after its last session. No session is ended.",
    };
  }
  return {
    title: `Terminate ${id}?`, verb: playing ? "End sessions and terminate" : "Terminate", danger: true,
    onSend: () => api.act(vm.name, "terminate", playing ? { force: true } : {}),
    text: playing
      ? html`<b>${playing === 1 ? "One session plays" : `${playing} sessions play`}</b> on this VM and will be ended first. Drain it instead to let them finish.`
      : "The VM leaves the fleet for good.",
  };
}
