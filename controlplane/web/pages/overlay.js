// The live figures over the picture: what this browser measures, what the wrapper tells, and how long each stage took.
import { html } from "../dom.js";
import { milliseconds } from "../format.js";
import { quarterdeckPlayer } from "../player/figures.js";
import { stagesOf } from "../stages.js";
import { Stages } from "../ui.js";

const fixed = (value, digits, unit) => (value === null || value === undefined ? "–" : `${value.toFixed(digits)} ${unit}`);

/** The three figures that tell at a glance whether all is well. */
export const glance = ({ figures }) =>
  [fixed(figures.decodedFps, 0, "fps"), fixed(figures.bitrateKbps, 0, "kbps"), fixed(figures.roundTripMs, 1, "ms")].join(" · ");

export function Figures({ view, session }) {
  const { figures, wrapper, pictureMs } = view;
  const rows = [
    ["Decoded", fixed(figures.decodedFps, 1, "fps")],
    ["Bitrate", fixed(figures.bitrateKbps, 0, "kbps")],
    ["Round trip", fixed(figures.roundTripMs, 1, "ms")],
    ["Decode", fixed(figures.decodeMs, 1, "ms/frame")],
    ["Jitter buffer", fixed(figures.jitterBufferMs, 1, "ms")],
    ["Dropped", `${figures.dropped ?? 0} frames`],
    ["Lost", `${figures.packetsLost ?? 0} packets`],
    ["Resolution", figures.width ? `${figures.width} × ${figures.height}` : "–"],
    ["Encoder", wrapper.encoder ?? "–"],
    ["Encode", fixed(wrapper.encode_ms, 1, "ms/frame")],
    ["Encoded", fixed(wrapper.encoded_fps, 1, "fps")],
    ["Sound", wrapper.silent ? "none" : fixed(wrapper.sound_kbps, 0, "kbps")],
  ];
  const { tokenMs, offerMs, connectedMs } = quarterdeckPlayer.stages;
  const local = [["Token", tokenMs], ["Offer", offerMs], ["Connected", connectedMs]].filter(([, ms]) => ms !== undefined);
  return html`<aside class="figures" aria-label="Live figures">
    <dl>${rows.map(([label, value]) => html`<div><dt>${label}</dt><dd class="figure">${value}</dd></div>`)}</dl>
    <h3>Stages</h3>
    <${Stages} steps=${stagesOf(session, pictureMs)} />
    <p class="muted figure">${local.map(([label, ms]) => `${label} ${milliseconds(ms)}`).join(" · ")}</p>
  </aside>`;
}
