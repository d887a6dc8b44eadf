// Where the player is: what was said last in this browser.
const KEPT = "quarterdeck.territory";

/** Two letters, or nothing. */
export function territory() {
  try {
    const kept = localStorage.getItem(KEPT) ?? "";
    return /^[A-Z]{2}$/.test(kept) ? kept : "";
  } catch {
    return "";
  }
}

export function keepTerritory(said) {
  try {
    localStorage.setItem(KEPT, said);
  } catch {
    // A browser that keeps nothing asks again the next time.
  }
}
