// Where the picture lies on the page, and which keys stay with the browser. Pure.

/**
 * The letterboxed picture inside its element (object-fit: contain).
 * @returns {{left: number, top: number, width: number, height: number, scale: number}} page pixels; `scale` is picture
 *   pixels per page pixel
 */
export function pictureBox(element, pictureWidth, pictureHeight) {
  const scale = Math.max(pictureWidth / element.width, pictureHeight / element.height) || 1;
  const width = pictureWidth / scale || element.width;
  const height = pictureHeight / scale || element.height;
  return {
    left: element.left + (element.width - width) / 2,
    top: element.top + (element.height - height) / 2,
    width,
    height,
    scale,
  };
}

/** A point of the page as 0..1 of the picture, from its top left. */
export function placeIn(box, { clientX, clientY }) {
  const inside = (value) => Math.min(1, Math.max(0, Math.round(value * 1e5) / 1e5));
  return { x: inside((clientX - box.left) / box.width), y: inside((clientY - box.top) / box.height) };
}

const BROWSERS_OWN = new Set(["F5", "F11", "F12"]);

/** Reload, fullscreen, developer tools and everything with the system's key stay with the browser. */
export function keepsForBrowser({ code, metaKey }) {
  return BROWSERS_OWN.has(code) || (metaKey && !code.startsWith("Meta"));
}
