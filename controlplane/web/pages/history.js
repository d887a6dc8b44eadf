// All sessions, those that ended included.
import { FINISHED_SESSIONS, LIVE_SESSIONS } from "../api.js";
import { html } from "../dom.js";
import { duration, ending, idOf, seconds, word } from "../format.js";
import { Filter, Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Page, When, useSteering } from "../page.js";
import { hashOf } from "../router.js";
import { isOperator } from "../ui.js";
import { SessionChips } from "./sessions.js";

const TROUBLED = ["CRASHED", "LOST", "REJECTED"].map((state) => `SESSION_STATE_${state}`);
const GROUPS = { live: LIVE_SESSIONS, ended: FINISHED_SESSIONS, troubled: TROUBLED };
const CHOICES = [
  ["", "All"], ["live", "Going on"], ["ended", "Ended"], ["troubled", "Ended badly"],
  ...[...LIVE_SESSIONS, ...FINISHED_SESSIONS].map((state) => [state, `Only: ${word(state).toLowerCase()}`]),
];

export function SessionsPage(shell) {
  const place = usePlace("sessions", 25);
  const states = GROUPS[place.filter] ?? (place.filter ? [place.filter] : []);
  const lists = { sessions: () => place.read("sessions", { states }) };
  const live = useLive({ lists, touched: { sessions: ["sessions"] }, subjects: ["sessions"] }, [place.key]);
  const steering = useSteering(live.refresh);
  const nothing = place.filter
    ? "None of these."
    : html`Nobody has played yet. <a href="#/">Start a session</a> and it shows here, with its whole story.`;
  return html`<${Page} shell=${shell} at="#/sessions" title="Sessions" live=${live} steering=${steering}>
    <${Listing} title="Sessions" page=${live.sessions} place=${place} columns=${sessionColumns(isOperator(shell.account))} empty=${nothing}
      actions=${html`<${Filter} label="Show" options=${CHOICES} place=${place} />`} />
  <//>`;
}

export const sessionColumns = (operator) => [
  { title: "Session", cell: (one) => html`<b>${idOf(one.game)}</b> <a href=${hashOf(one.name)}><code>${idOf(one.name)}</code></a>` },
  { title: "State", cell: (one) => html`<${SessionChips} session=${one} />` },
  { title: "How it ended", cell: ending },
  operator && { title: "VM", cell: (one) => one.vm && html`<a href=${hashOf(one.vm)}>${idOf(one.vm)}</a>` },
  { title: "Asked", cell: (one) => html`<${When} time=${one.createTime} />` },
  { title: "Played", cell: (one) => one.stages?.firstFrameTime && html`<span class="figure">${duration(seconds(one.runningDuration))}</span>` },
].filter(Boolean);
