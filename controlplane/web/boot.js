// The first module: brings all others, and starts the page over, once, where one of them did not arrive.
const AGAIN_MS = 1000;

import("./app.js").catch((error) => {
  console.error(error);
  const [navigation] = performance.getEntriesByType("navigation");
  if (navigation?.type !== "reload") setTimeout(() => location.reload(), AGAIN_MS);
});
