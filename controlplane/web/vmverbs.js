// What may be asked of a VM in which state. The control plane decides; this keeps what it would refuse from being offered.

const SERVING = ["READY", "IN_USE"];
const EVERY_LIVE = ["PROVISIONING", "BOOTING", "READY", "IN_USE", "DRAINING", "STOPPED", "ERROR"];
const empty = (vm) => !vm.activeSessions;
const rented = (vm) => Boolean(vm.provisioning);

const VERBS = [
  { verb: "drain", label: "Drain", states: SERVING },
  { verb: "undrain", label: "Undrain", states: ["DRAINING"] },
  { verb: "start", label: "Start", states: ["STOPPED"], where: rented },
  { verb: "ready", label: "Put back to work", states: ["ERROR"] },
  { verb: "replace", label: "Replace", states: SERVING, where: rented, asks: true },
  { verb: "stop", label: "Switch off", states: ["READY", "DRAINING"], where: (vm) => rented(vm) && empty(vm), asks: true },
  { verb: "terminate", label: "Terminate", states: EVERY_LIVE, asks: true, danger: true },
];

/** The verbs that fit the VM now; `asks` those that end or cost something. */
export const verbsOf = (vm) =>
  VERBS.filter(({ states, where }) => states.includes(vm.state?.replace("VM_STATE_", "")) && (!where || where(vm)));
