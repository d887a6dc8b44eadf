// A gamepad's whole state as one message. Pure.

const DEAD_ZONE = 0.08;
const round = (value) => Math.round(value * 1000) / 1000;

/** @param {Gamepad} pad in the standard mapping */
export function padMessage(pad) {
  return {
    t: "pad",
    index: pad.index,
    axes: Array.from(pad.axes).slice(0, 8).map((axis) => (Math.abs(axis) < DEAD_ZONE ? 0 : round(axis))),
    buttons: Array.from(pad.buttons).slice(0, 32).map((button) => round(button.value)),
  };
}

/** A gamepad at rest that was never told of is no news. */
export function changed(before, now) {
  const at = (state) => [...state.axes, ...state.buttons];
  if (!before) return at(now).some((value) => value !== 0);
  return at(before).join() !== at(now).join();
}
