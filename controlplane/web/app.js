// The shell: who is signed in, which page the address means.
import { ApiError, api, whenSignedOut } from "./api.js";
import { html, render, useEffect, useState } from "./dom.js";
import { pause } from "./backoff.js";
import { CapacityPage } from "./pages/capacity.js";
import { ConsolePage } from "./pages/console.js";
import { DeadLettersPage } from "./pages/deadletters.js";
import { FleetPage } from "./pages/fleet.js";
import { PlayPage } from "./pages/play.js";
import { SavePage } from "./pages/save.js";
import { SavesPage } from "./pages/saves.js";
import { SessionsPage } from "./pages/history.js";
import { SignInPage } from "./pages/signin.js";
import { StoryPage } from "./pages/story.js";
import { VmPage } from "./pages/vm.js";
import { parse, replace } from "./router.js";
import { quarterdeckPlayer } from "./player/figures.js";
import { Masthead, isOperator } from "./ui.js";

const ACCOUNT_RETRY_MS = 2000;

/** undefined while unknown, null when nobody is signed in. */
async function readAccount() {
  for (;;) {
    try {
      return await api.account();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      await pause(ACCOUNT_RETRY_MS);
    }
  }
}

// By the address' first word: the page of all, and the page of one.
const PAGES = {
  fleet: [FleetPage],
  play: [null, PlayPage],
  console: [null, ConsolePage],
  sessions: [SessionsPage, StoryPage],
  vms: [null, VmPage],
  capacity: [CapacityPage],
  saves: [SavesPage, SavePage],
  "dead-letters": [DeadLettersPage],
};
const FOR_PLAYERS = new Set(["fleet", "play", "sessions"]);
// Pages that fill the window: nothing stands below them.
const WHOLE = new Set(["play", "console"]);

function useRoute() {
  const [route, setRoute] = useState(parse(location.hash));
  useEffect(() => {
    const changed = () => setRoute(parse(location.hash));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

function App() {
  const route = useRoute();
  const [account, setAccount] = useState(undefined);
  useEffect(() => {
    // A picture that plays is never taken away because a login ran out.
    whenSignedOut(() => quarterdeckPlayer.state !== "live" && setAccount(null));
    readAccount().then(setAccount);
  }, []);
  const signOut = async () => {
    await api.signOut().catch(() => {});
    setAccount(await readAccount());
  };
  const signedIn = async (next) => {
    setAccount(await readAccount());
    replace(next);
  };
  if (route.page === "signin" && route.code) return html`<${SignInPage} ...${route} onSignedIn=${signedIn} />`;
  if (account === undefined) return html`<${Masthead} /><main class="centre"><p class="muted">Looking for the control plane …</p></main>`;
  if (account === null) return html`<${SignInPage} next=${location.hash} onSignedIn=${signedIn} />`;
  const shell = { account, onSignOut: signOut };
  const found = isOperator(account) || FOR_PLAYERS.has(route.page) ? PAGES[route.page]?.[route.id ? 1 : 0] : null;
  if (!found) {
    return html`<${Masthead} ...${shell} /><main class="centre"><h1>Nothing here</h1><p><a href="#/">To the fleet</a></p></main>`;
  }
  return html`<${found} key=${location.hash} session=${route.id} id=${route.id} ...${shell} />
    ${!WHOLE.has(route.page) && html`<footer class="release">Quarterdeck ${account.release ?? ""}</footer>`}`;
}

render(html`<${App} />`, document.getElementById("app"));
