// Bytes of unknown make, for people to look at. Pure.

const TEXT = /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffd]*$/;
const WIDTH = 16;

/** Base64 as text where it is text (JSON laid out), else as rows of hexadecimal figures and characters. */
export function legible(base64 = "") {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const text = new TextDecoder().decode(bytes);
  if (!TEXT.test(text)) return hexadecimal(bytes);
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function hexadecimal(bytes) {
  const rows = [];
  for (let at = 0; at < bytes.length; at += WIDTH) {
    const row = [...bytes.subarray(at, at + WIDTH)];
    const figures = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const characters = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString(16).padStart(4, "0")}  ${figures.padEnd(WIDTH * 3)} ${characters}`);
  }
  return rows.join("\n");
}
