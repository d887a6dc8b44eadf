// The first module: brings all others, and starts the page over where one of them did not arrive, as where a network
// changes meanwhile. A module that failed once stays failed until then.
const RESTARTS = 4;
const AGAIN_MS = 500;
const COUNT = "restarts";

const { sessionStorage: kept } = window;

import("./app.js").then(
  () => kept.removeItem(COUNT),
  (error) => {
    console.error(error);
    const restarts = Number(kept.getItem(COUNT));
    if (restarts < RESTARTS) {
      kept.setItem(COUNT, String(restarts + 1));
      setTimeout(() => location.reload(), AGAIN_MS * 2 ** restarts);
    } else {
      kept.removeItem(COUNT);
      document.getElementById("app").textContent = "A part of this page did not arrive. Load it again.";
    }
  },
);
