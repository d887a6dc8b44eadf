// What the stream is doing, in figures: from the browser's statistics and from each presented frame.

/**
 * For tests and measurements, the one global of these pages:
 *   state            idle | connecting | live | reconnecting | ended | failed
 *   framesDecoded    frames decoded on this page so far, over all peers (read once a second)
 *   framesPresented  frames that reached the screen so far, by requestVideoFrameCallback
 *   lastFrameTime    performance.now() of the newest presented frame, ms
 *   longestGapMs     longest time between two presented frames while the page was visible; set it to 0 to start anew
 *   decoded()        promise of framesDecoded as of this moment, asked of the browser
 *   peers            peer connections made so far
 *   askedAt          performance.now() when the stream was asked for
 *   stages           { tokenMs, offerMs, connectedMs, pictureMs }: ms since askedAt
 *   audio            the element that plays the sound; null: none
 *   figures          what the overlay shows (see figuresFrom)
 */
export const quarterdeckPlayer = {
  state: "idle",
  framesDecoded: 0,
  framesPresented: 0,
  lastFrameTime: 0,
  longestGapMs: 0,
  peers: 0,
  decoded: async () => 0,
  askedAt: 0,
  stages: {},
  audio: null,
  figures: {},
};
window.quarterdeckPlayer = quarterdeckPlayer;

/** The figures that matter out of RTCStatsReport (an iterable of stats objects). */
export function counters(report) {
  const found = { at: 0, decoded: 0, dropped: 0, bytes: 0, decodeS: 0, bufferS: 0, emitted: 0, lost: 0, width: 0, height: 0 };
  for (const one of report.values()) {
    if (one.type !== "inbound-rtp" || one.kind !== "video") continue;
    found.at = one.timestamp;
    found.decoded = one.framesDecoded ?? 0;
    found.dropped = one.framesDropped ?? 0;
    found.bytes = one.bytesReceived ?? 0;
    found.decodeS = one.totalDecodeTime ?? 0;
    found.bufferS = one.jitterBufferDelay ?? 0;
    found.emitted = one.jitterBufferEmittedCount ?? 0;
    found.lost = one.packetsLost ?? 0;
    found.width = one.frameWidth ?? 0;
    found.height = one.frameHeight ?? 0;
  }
  return found;
}

/** Two samples of `counters` → rates between them. Frames per second, kbps, ms per frame. */
export function figuresFrom(before, now) {
  const elapsedS = (now.at - before.at) / 1000;
  if (!(elapsedS > 0)) return null;
  const frames = now.decoded - before.decoded;
  const emitted = now.emitted - before.emitted;
  return {
    decodedFps: frames / elapsedS,
    bitrateKbps: ((now.bytes - before.bytes) * 8) / 1000 / elapsedS,
    decodeMs: frames > 0 ? ((now.decodeS - before.decodeS) * 1000) / frames : null,
    jitterBufferMs: emitted > 0 ? ((now.bufferS - before.bufferS) * 1000) / emitted : null,
    dropped: now.dropped,
    packetsLost: now.lost,
    width: now.width,
    height: now.height,
  };
}

/** Counts presented frames of `video` until `signal` aborts; `onFirst` hears of the first one. */
export function countFrames(video, onFirst, signal) {
  let previous = null;
  const forget = () => (previous = null);
  document.addEventListener("visibilitychange", forget, { signal });
  const each = (now) => {
    if (signal.aborted) return;
    quarterdeckPlayer.framesPresented += 1;
    if (previous === null) onFirst();
    else quarterdeckPlayer.longestGapMs = Math.max(quarterdeckPlayer.longestGapMs, now - previous);
    previous = now;
    quarterdeckPlayer.lastFrameTime = now;
    video.requestVideoFrameCallback(each);
  };
  video.requestVideoFrameCallback(each);
}
