// Which keys do what: the game's own, from its catalogue entry, and those of this page.
import { html, useEffect, useRef } from "../dom.js";

const PAGE_KEYS = [
  ["Click the picture", "gives keyboard and mouse to the game"],
  ["Shift + Esc", "gives the keyboard back to this page"],
  ["Lock mouse", "holds the pointer inside the picture; Esc lets it go"],
  ["Fullscreen", "hides everything else; hold Esc to leave"],
];

export function Keys({ game, gamepad, onClose }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} class="keys" onClose=${onClose} aria-labelledby="keys-title">
    <h2 id="keys-title">${game?.displayName ?? "Keys"}</h2>
    ${game?.summary && html`<p class="prose">${game.summary}</p>`}
    <dl>${PAGE_KEYS.map(([keys, effect]) => html`<div><dt><kbd>${keys}</kbd></dt><dd>${effect}</dd></div>`)}</dl>
    ${gamepad !== undefined &&
    html`<p class="muted">${gamepad ? "Gamepads work as soon as one of their buttons is pressed." : "This session takes no gamepad."}</p>`}
    <div class="actions"><button class="primary" onClick=${() => dialog.current.close()}>Close</button></div>
  </dialog>`;
}
