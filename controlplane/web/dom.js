// The view layer in one import: preact, its hooks and htm bound to it, so that no page names a vendored file.
import { h, render, Fragment } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { Fragment, render };
export { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/preact-hooks.js";
export const html = htm.bind(h);
