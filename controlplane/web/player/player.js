// The stream of one session, kept alive: a new token and a new peer whenever an attempt is over, with backoff.
import { backoffMs, pause } from "../backoff.js";
import { countFrames, counters, figuresFrom, quarterdeckPlayer } from "./figures.js";
import { Input } from "./input.js";
import { runLink } from "./link.js";
import { Sound } from "./sound.js";

const FIGURES_MS = 1000;
// A refusal that another try will not change.
const FINAL_STATUS = new Set([401, 403, 404]);

export class Player {
  /**
   * @param {string} session sessions/{session}
   * @param {{video: HTMLVideoElement, stage: HTMLElement}} elements `stage` holds the keyboard focus while playing
   * @param {(view: {state: string, why: string, figures: object, wrapper: object, pictureMs: number|null,
   *                 sound: object}) => void} onChange
   */
  constructor(session, { video, stage }, onChange) {
    this.session = session;
    this.video = video;
    this.onChange = onChange;
    this.view = { state: "connecting", why: "", figures: {}, wrapper: {}, pictureMs: null, sound: {} };
    this.ending = new AbortController();
    this.sound = new Sound((sound) => this.#show({ sound }));
    this.view.sound = this.sound.view;
    this.input = new Input(stage, video, this.ending.signal);
    // The game alone, not the page: the button that turns sound on must still be that when its click arrives.
    for (const activation of ["keydown", "pointerdown", "pointerup"]) {
      stage.addEventListener(activation, () => this.sound.activated(), { signal: this.ending.signal });
    }
    this.input.onWrapper = (message) => this.#show({ wrapper: { ...this.view.wrapper, ...message } });
    this.decodedBefore = 0;
    Object.assign(quarterdeckPlayer, { stages: {}, figures: {}, askedAt: performance.now() });
  }

  /** Runs until `close`, or until the gateway refuses for good. */
  async run() {
    for (let attempt = 0; !this.ending.signal.aborted; ) {
      const { why, error, pictureUp } = await this.#attempt();
      if (this.ending.signal.aborted) return;
      if (error && FINAL_STATUS.has(error.status)) return this.#show({ state: "failed", why });
      attempt = pictureUp ? 0 : attempt + 1;
      this.#show({ state: "reconnecting", why });
      // A picture that was there comes back at once; only what never worked waits longer and longer.
      if (!pictureUp) await pause(backoffMs(attempt - 1, Math.random()), this.ending.signal);
    }
  }

  close(state = "ended") {
    this.ending.abort();
    quarterdeckPlayer.state = state;
    this.video.srcObject = null;
    this.sound.close();
  }

  async #attempt() {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.ending.signal]);
    let pictureUp = false;
    const listener = {
      pictureUp: () => pictureUp,
      onPeer: (peer) => this.#sample(peer, signal),
      onChannel: (channel) => this.input.use(channel),
      onTrack: (track) => {
        if (track.kind === "audio") return this.sound.play(track);
        this.video.srcObject = new MediaStream([track]);
        this.video.play().catch(() => {});
        countFrames(
          this.video,
          () => {
            pictureUp = true;
            const pictureMs = (quarterdeckPlayer.stages.pictureMs ??= performance.now() - quarterdeckPlayer.askedAt);
            this.#show({ state: "live", why: "", pictureMs });
          },
          signal,
        );
      },
    };
    const outcome = await runLink(this.session, listener, this.ending.signal);
    over.abort();
    return { ...outcome, pictureUp };
  }

  async #sample(peer, signal) {
    let before = null;
    quarterdeckPlayer.decoded = async () => this.decodedBefore + counters(await peer.getStats()).decoded;
    while (!signal.aborted) {
      const now = counters(await peer.getStats());
      quarterdeckPlayer.framesDecoded = this.decodedBefore + now.decoded;
      const figures = before && figuresFrom(before, now);
      if (figures) {
        figures.roundTripMs = this.input.roundTripMs;
        quarterdeckPlayer.figures = figures;
        this.#show({ figures });
      }
      before = now;
      this.input.ping();
      await pause(FIGURES_MS, signal);
    }
    this.decodedBefore += before?.decoded ?? 0;
    quarterdeckPlayer.decoded = async () => this.decodedBefore;
  }

  #show(change) {
    if (this.ending.signal.aborted) return;
    this.view = { ...this.view, ...change };
    quarterdeckPlayer.state = this.view.state;
    this.onChange(this.view);
  }
}
