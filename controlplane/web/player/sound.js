// What is heard: one element beside the picture, so that neither waits for the other. How loud is remembered.
import { quarterdeckPlayer } from "./figures.js";

const KEPT = "quarterdeck.sound";
const LOUD = { muted: false, volume: 1 };

export class Sound {
  /** @param {(view: {heard: boolean, blocked: boolean, muted: boolean, volume: number}) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.element = new Audio();
    this.view = { heard: false, blocked: false, ...remembered() };
    this.#apply();
  }

  /** Takes over the track of a new peer. */
  play(track) {
    this.element.srcObject = new MediaStream([track]);
    quarterdeckPlayer.audio = this.element;
    this.#show({ heard: true });
    return this.#start();
  }

  /** By a key, a click or a tap: browsers let a page be heard from then on. What is muted stays so. */
  activated() {
    if (this.view.blocked) this.#start();
  }

  /** By a click on the page's own button. */
  turnOn() {
    this.set({ muted: false });
    return this.#start();
  }

  /** @param {{muted?: boolean, volume?: number}} change `volume` is 0..1 */
  set(change) {
    this.#show(change);
    this.#apply();
    const { muted, volume } = this.view;
    try {
      localStorage.setItem(KEPT, JSON.stringify({ muted, volume }));
    } catch {
      // A browser that keeps nothing starts loud the next time.
    }
  }

  close() {
    this.element.srcObject = null;
    quarterdeckPlayer.audio = null;
  }

  async #start() {
    try {
      await this.element.play();
      this.#show({ blocked: false });
    } catch (error) {
      // AbortError: a newer track came meanwhile.
      if (error.name === "NotAllowedError") this.#show({ blocked: true });
    }
  }

  #apply() {
    this.element.muted = this.view.muted;
    this.element.volume = this.view.volume;
  }

  #show(change) {
    this.view = { ...this.view, ...change };
    this.onChange(this.view);
  }
}

function remembered() {
  try {
    return understood(localStorage.getItem(KEPT));
  } catch {
    return LOUD;
  }
}

/** What was kept, if it is anything. */
export function understood(kept) {
  try {
    const { muted, volume } = JSON.parse(kept) ?? LOUD;
    return { muted: muted === true, volume: volume >= 0 && volume <= 1 ? volume : 1 };
  } catch {
    return LOUD;
  }
}

/** Browsers play the middle of both channels unless the answer says that it wants two (RFC 7587, 6.1). */
export function inStereo(sdp) {
  const opus = /^a=rtpmap:(\d+) opus\/48000\/2\r?$/im.exec(sdp)?.[1];
  if (!opus) return sdp;
  const line = new RegExp(`^(a=fmtp:${opus} (?!.*\\bstereo=)[^\\r\\n]*)`, "m");
  return sdp.replace(line, "$1;stereo=1");
}
