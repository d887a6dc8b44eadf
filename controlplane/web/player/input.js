// Keyboard, mouse, wheel and gamepads into the two data channels that the wrapper offers: "keys" (ordered, reliable)
// and "mouse" (unordered, never resent). The message format is FORMAT in wrapper/stream/inputs.py.
import { changed, padMessage } from "./gamepad.js";
import { keepsForBrowser, pictureBox, placeIn } from "./geometry.js";

// A channel that does not drain loses motion, not keys: a late mouse is worse than a coarse one.
const MOUSE_BUFFER_MAX_BYTES = 4096;

export class Input {
  /**
   * @param {HTMLElement} stage takes keys while it has the focus, and the mouse above it
   * @param {HTMLVideoElement} video
   * @param {AbortSignal} signal ends everything
   */
  constructor(stage, video, signal) {
    this.stage = stage;
    this.video = video;
    this.channels = {};
    this.counts = { keys: 0, mouse: 0 };
    this.held = new Set();
    this.pads = new Map();
    this.pings = new Map();
    this.roundTripMs = null;
    this.onWrapper = () => {};
    this.#listen(signal);
    signal.addEventListener("abort", () => document.pointerLockElement === stage && document.exitPointerLock());
    this.#pollPads(signal);
  }

  /** Takes over a channel of a new peer; its counts start anew with it. */
  use(channel) {
    if (!(channel.label in this.counts)) return;
    this.channels[channel.label] = channel;
    this.counts[channel.label] = 0;
    if (channel.label !== "keys") return;
    this.held.clear();
    this.pads.clear();
    this.pings.clear();
    channel.addEventListener("message", ({ data }) => this.#hear(JSON.parse(data)));
  }

  /** Asks for a pong; its round trip shows in `roundTripMs`. */
  ping() {
    const count = this.#send("keys", { t: "ping" });
    if (count === 0) return;
    this.pings.set(count, performance.now());
    if (this.pings.size > 8) this.pings.delete(this.pings.keys().next().value);
  }

  release() {
    if (this.held.size === 0 && this.pads.size === 0) return;
    this.held.clear();
    this.pads.clear();
    this.#send("keys", { t: "release" });
  }

  lockPointer() {
    this.stage.focus();
    return this.stage.requestPointerLock({ unadjustedMovement: true }).catch(() => this.stage.requestPointerLock());
  }

  #hear(message) {
    if (message.t === "pong") {
      const sent = this.pings.get(message.n);
      this.pings.delete(message.n);
      if (sent !== undefined) this.roundTripMs = performance.now() - sent;
    } else if (message.t === "hello" || message.t === "figures") {
      this.onWrapper(message);
    }
  }

  #send(label, { t, ...fields }) {
    const channel = this.channels[label];
    if (channel?.readyState !== "open") return 0;
    const n = (this.counts[label] += 1);
    channel.send(JSON.stringify({ t, n, ...fields }));
    return n;
  }

  #listen(signal) {
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal });
    on(this.stage, "keydown", (event) => this.#key(event, true));
    on(this.stage, "keyup", (event) => this.#key(event, false));
    on(this.stage, "blur", () => this.release());
    on(window, "blur", () => this.release());
    on(document, "visibilitychange", () => document.hidden && this.release());
    on(document, "pointerlockchange", () => document.pointerLockElement !== this.stage && this.release());
    on(this.stage, "pointerdown", (event) => this.#button(event, true));
    // A button let go outside the picture is let go all the same.
    on(window, "pointerup", (event) => this.#button(event, false));
    // Raw updates come as the mouse reports them, not once a frame.
    on(this.stage, "onpointerrawupdate" in window ? "pointerrawupdate" : "pointermove", (event) => this.#move(event));
    // Pressing a second button while one is held comes as a move (Pointer Events, section 10).
    on(this.stage, "pointermove", (event) => event.button >= 0 && this.#button(event, (event.buttons & bit(event.button)) > 0));
    on(this.stage, "contextmenu", (event) => event.preventDefault());
    this.stage.addEventListener("wheel", (event) => this.#wheel(event), { signal, passive: false });
  }

  #key(event, down) {
    // Shift+Escape hands the keyboard back to the page, so that nobody is trapped in the picture.
    if (event.code === "Escape" && event.shiftKey && down) return this.stage.blur();
    if (!event.code || keepsForBrowser(event)) return;
    event.preventDefault();
    const known = this.held.has(event.code);
    // macOS tells no keyup of what was held together with Meta.
    if (!down && event.code.startsWith("Meta")) return this.release();
    if (event.repeat || known === down) return;
    if (this.#send("keys", { t: "key", code: event.code, down }) === 0) return;
    if (down) this.held.add(event.code);
    else this.held.delete(event.code);
  }

  #button(event, down) {
    const name = `button ${event.button}`;
    if (event.button > 4 || this.held.has(name) === down) return;
    if (down) {
      event.preventDefault();
      this.stage.focus();
    }
    const place = document.pointerLockElement === this.stage ? {} : placeIn(this.#box(), event);
    if (this.#send("keys", { t: "button", button: event.button, down, ...place }) === 0) return;
    if (down) this.held.add(name);
    else this.held.delete(name);
  }

  #move(event) {
    if (this.channels.mouse?.bufferedAmount > MOUSE_BUFFER_MAX_BYTES) return;
    const box = this.#box();
    if (document.pointerLockElement !== this.stage) {
      this.#send("mouse", { t: "point", ...placeIn(box, event) });
    } else if (event.movementX !== 0 || event.movementY !== 0) {
      this.#send("mouse", { t: "move", dx: event.movementX * box.scale, dy: event.movementY * box.scale });
    }
  }

  #wheel(event) {
    event.preventDefault();
    const unit = [1, 40, this.stage.clientHeight][event.deltaMode];
    this.#send("keys", { t: "wheel", dx: event.deltaX * unit, dy: event.deltaY * unit });
  }

  #box() {
    return pictureBox(this.video.getBoundingClientRect(), this.video.videoWidth, this.video.videoHeight);
  }

  #pollPads(signal) {
    const poll = () => {
      if (signal.aborted) return;
      for (const pad of navigator.getGamepads?.() ?? []) {
        if (!pad || pad.index > 3) continue;
        const message = padMessage(pad);
        if (changed(this.pads.get(pad.index), message) && this.#send("keys", message) > 0) this.pads.set(pad.index, message);
      }
      requestAnimationFrame(poll);
    };
    requestAnimationFrame(poll);
  }
}

// MouseEvent.button → its bit in MouseEvent.buttons.
const bit = (button) => [1, 4, 2, 8, 16][button] ?? 0;
