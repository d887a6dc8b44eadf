// When a stream's attempt is over. Pure, so that the rule that matters most can be read in one place.

// ICE may come back by itself from "disconnected" (RFC 8445 consent checks go on).
export const DISCONNECTED_GRACE_MS = 6000;
export const NO_PICTURE_MS = 15_000;

/**
 * @param {{connection: string, socketOpen: boolean, pictureUp: boolean, closeReason: string,
 *          sinceStartMs: number, sinceDisconnectedMs: number}} facts
 * @returns {string} why to give up this peer and make a new one; "" to go on
 *
 * Once the peers are connected the signalling socket no longer matters: the control plane may be killed while the
 * picture goes on.
 */
export function giveUp({ connection, socketOpen, pictureUp, closeReason, sinceStartMs, sinceDisconnectedMs }) {
  if (connection === "failed" || connection === "closed") return "The connection to the game broke.";
  if (connection === "disconnected" && sinceDisconnectedMs > DISCONNECTED_GRACE_MS) return "The game went silent.";
  if (pictureUp) return "";
  if (connection !== "connected" && connection !== "disconnected" && !socketOpen) {
    return closeReason || "Signalling broke off.";
  }
  return sinceStartMs > NO_PICTURE_MS ? "No picture arrived." : "";
}
