// One attempt at a stream: one token, one signalling socket, one peer connection. It ends once, and says why.
import { ApiError, api } from "../api.js";
import { quarterdeckPlayer } from "./figures.js";
import { giveUp } from "./rules.js";
import { inStereo } from "./sound.js";

const CHECK_MS = 250;

/**
 * @typedef {object} Listener
 * @property {(peer: RTCPeerConnection) => void} onPeer
 * @property {(track: MediaStreamTrack) => void} onTrack
 * @property {(channel: RTCDataChannel) => void} onChannel
 * @property {() => boolean} pictureUp whether this attempt has shown a frame
 */

/**
 * Runs until the attempt is over or `signal` aborts.
 * @param {string} session sessions/{session}
 * @param {Listener} listener
 * @returns {Promise<{why: string, error?: ApiError}>}
 */
export async function runLink(session, listener, signal) {
  const started = performance.now();
  const mark = (stage) => (quarterdeckPlayer.stages[stage] ??= performance.now() - quarterdeckPlayer.askedAt);
  let token;
  try {
    token = await api.createStreamToken(session);
  } catch (error) {
    return { why: error.message, error: error instanceof ApiError ? error : undefined };
  }
  if (signal.aborted) return { why: "" };
  mark("tokenMs");
  const peer = new RTCPeerConnection({ iceServers: token.iceServers ?? [] });
  quarterdeckPlayer.peers += 1;
  const socket = openSocket(token);
  const facts = { closeReason: "", disconnectedAt: null };
  wirePeer(peer, socket, listener, facts, mark);
  wireSocket(peer, socket, token.token, facts, mark);
  listener.onPeer(peer);
  try {
    const why = await untilOver(peer, socket, listener, facts, started, signal);
    return { why };
  } finally {
    socket.close();
    peer.close();
  }
}

function openSocket(token) {
  const address = new URL(token.signallingPath || "/v1/signalling", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  return new WebSocket(address);
}

function send(socket, message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function wirePeer(peer, socket, listener, facts, mark) {
  peer.addEventListener("icecandidate", ({ candidate }) => {
    if (!candidate?.candidate) return;
    const { sdpMid, sdpMLineIndex } = candidate;
    send(socket, { candidate: { candidate: candidate.candidate, sdpMid: sdpMid ?? "", sdpMLineIndex: sdpMLineIndex ?? 0 } });
  });
  peer.addEventListener("track", ({ track, receiver }) => {
    // Play each frame when it comes: a game wants the newest picture, not a smooth one.
    if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
    if ("playoutDelayHint" in receiver) receiver.playoutDelayHint = 0;
    listener.onTrack(track);
  });
  peer.addEventListener("datachannel", ({ channel }) => listener.onChannel(channel));
  peer.addEventListener("connectionstatechange", () => {
    facts.disconnectedAt = peer.connectionState === "disconnected" ? performance.now() : null;
    if (peer.connectionState === "connected") mark("connectedMs");
  });
}

function wireSocket(peer, socket, streamToken, facts, mark) {
  // Messages are handled one after the other: a candidate must not overtake its description.
  let queue = Promise.resolve();
  socket.addEventListener("open", () => send(socket, { streamToken }));
  socket.addEventListener("close", ({ reason }) => (facts.closeReason ||= reason));
  socket.addEventListener("message", ({ data }) => {
    queue = queue
      .then(() => take(peer, socket, JSON.parse(data), facts, mark))
      .catch((error) => {
        facts.closeReason ||= `The offer could not be answered: ${error.message}`;
        socket.close();
      });
  });
}

async function take(peer, socket, { description, candidate, close, signal }, facts, mark) {
  if (signal) return take(peer, socket, signal, facts, mark);
  if (peer.signalingState === "closed") return;
  if (close) {
    facts.closeReason = close.reason ?? "";
    socket.close();
  } else if (description) {
    mark("offerMs");
    await peer.setRemoteDescription(description);
    const answer = await peer.createAnswer();
    await peer.setLocalDescription({ type: "answer", sdp: inStereo(answer.sdp) });
    send(socket, { description: { type: "answer", sdp: peer.localDescription.sdp } });
  } else if (candidate) {
    const { candidate: line = "", sdpMid, sdpMLineIndex = 0 } = candidate;
    await peer.addIceCandidate({ candidate: line, sdpMid: sdpMid || null, sdpMLineIndex });
  }
}

function untilOver(peer, socket, listener, facts, started, signal) {
  return new Promise((resolve) => {
    const check = () => {
      const now = performance.now();
      const why = giveUp({
        connection: peer.connectionState,
        socketOpen: socket.readyState <= WebSocket.OPEN,
        pictureUp: listener.pictureUp(),
        closeReason: facts.closeReason,
        sinceStartMs: now - started,
        sinceDisconnectedMs: facts.disconnectedAt === null ? 0 : now - facts.disconnectedAt,
      });
      if (!why && !signal.aborted) return;
      clearInterval(timer);
      resolve(why);
    };
    const timer = setInterval(check, CHECK_MS);
    peer.addEventListener("connectionstatechange", check);
    socket.addEventListener("close", check);
    signal.addEventListener("abort", check);
  });
}
