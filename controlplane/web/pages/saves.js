// What outlives sessions: saves, backups, and the schedules that make backups.
import { LIVE_SESSIONS, api } from "../api.js";
import { html } from "../dom.js";
import { idOf } from "../format.js";
import { Filter, Listing, usePlace } from "../listing.js";
import { useLive } from "../live.js";
import { Page, When, useSteering } from "../page.js";
import { hashOf } from "../router.js";
import { Chip } from "../ui.js";
import { backupColumns, newBackup, scheduleColumns, scheduleForm } from "./backups.js";

const TOUCHED = { saves: ["saves"], backups: ["backups", "schedules"] };

export function SavesPage(shell) {
  const places = { saves: usePlace("saves", 15), backups: usePlace("backups", 15), schedules: usePlace("schedules", 15) };
  const lists = {
    games: () => api.games(),
    saves: () => places.saves.read("saves", { game: places.saves.filter }),
    backups: () => places.backups.read("backups", { game: places.backups.filter }),
    schedules: () => places.schedules.read("backupSchedules"),
  };
  const live = useLive({ lists, touched: TOUCHED, subjects: ["saves", "backups"] }, Object.values(places).map((place) => place.key));
  const steering = useSteering(live.refresh);
  const games = live.games ?? [];
  const choices = [["", "all games"], ...games.map((game) => [game.name, game.displayName || idOf(game.name)])];
  const filter = (place) => html`<${Filter} label="Of" options=${choices} place=${place} />`;
  return html`<${Page} shell=${shell} at="#/saves" title="Saves" live=${live} steering=${steering}>
    <${Listing} title="Saves" page=${live.saves} place=${places.saves} columns=${SAVES} actions=${filter(places.saves)}
      empty=${html`No game has stored anything. A session that names a save (<code>quarterdeck sessions create GAME --save NAME</code>)
        stores into it, where its deployment says which volumes outlive a session.`} />
    <${Listing} title="Backups" page=${live.backups} place=${places.backups} columns=${backupColumns(steering)}
      actions=${html`${filter(places.backups)}<button onClick=${() => askForBackup(steering)}>Back up now</button>`}
      empty="There is no backup. Make one of a running session now, or let a schedule do it." />
    <${Listing} title="Schedules" page=${live.schedules} place=${places.schedules} columns=${scheduleColumns(steering)}
      actions=${games.length > 0 && html`<button onClick=${() => steering.ask(scheduleForm(games))}>New schedule</button>`}
      empty="Nothing is backed up by itself." />
  <//>`;
}

/** The sessions that may be backed up are read when somebody wants to. */
const askForBackup = (steering) =>
  steering.act(async () => {
    const sessions = await api.sessions(LIVE_SESSIONS, 200);
    steering.ask(sessions.length > 0 ? newBackup(sessions) : {
      title: "Nothing runs", text: "Backups are made of running sessions, and of ended ones with a save: open the session and back it up there.",
    });
  });

const SAVES = [
  { title: "Save", cell: (one) => html`<a href=${hashOf(one.name)}><b>${idOf(one.name)}</b></a>` },
  { title: "Game", cell: (one) => idOf(one.game) },
  { title: "Current version", cell: (one) => (one.currentVersion ? html`<span class="figure">${idOf(one.currentVersion)}</span>` : "none yet") },
  { title: "Written by", cell: (one) => html`<${Writer} save=${one} />` },
  { title: "Changed", cell: (one) => html`<${When} time=${one.updateTime} />` },
];

/** The session that writes it, and whether it is one whose host has yet to store its files. */
export const Writer = ({ save }) =>
  save.session &&
  html`<a href=${hashOf(save.session)}><code>${idOf(save.session)}</code></a> ${save.detail && html`<${Chip} as="warn" label="Not stored yet" title=${save.detail} />`}`;
