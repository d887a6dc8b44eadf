// Backups and their schedules: what was copied when, and what may be done with a copy.
import { api, clientToken } from "../api.js";
import { html } from "../dom.js";
import { idOf, size } from "../format.js";
import { When } from "../page.js";
import { Chip } from "../ui.js";

/** Takes a backup, or a version of a save, to this machine: a signed URL, good for minutes, is asked for and followed. */
export async function download(name) {
  const { url } = await api.create("downloads", { name });
  location.assign(url);
}

/** `but`: a column that says nothing new where all backups have it in common. */
export const backupColumns = (steering, but = "") =>
  [
    { title: "Backup", cell: (one) => html`<b>${idOf(one.game)}</b> <code>${idOf(one.name)}</code>` },
    { title: "State", cell: (one) => html`<${Chip} state=${one.state} />` },
    { title: "Why", cell: (one) => one.reason && html`<code>${one.reason}</code> ${one.reasonDetail}` },
    but !== "session" && { title: "Session", cell: (one) => html`<a href="#/${one.session}"><code>${idOf(one.session)}</code></a>` },
    { title: "Save", cell: (one) => one.save && html`<a href="#/${one.save}">${idOf(one.save)}</a>` },
    { title: "Made by", cell: (one) => (one.backupSchedule ? html`schedule <code>${idOf(one.backupSchedule)}</code>` : "hand") },
    { title: "When", cell: (one) => html`<${When} time=${one.createTime} />` },
    { title: "Size", cell: (one) => one.files > 0 && html`<span class="figure" title="SHA-256 ${one.sha256}">${size(one.sizeBytes)}</span>` },
    { title: "", cell: (one) => html`<${BackupActions} backup=${one} steering=${steering} />` },
  ].filter(Boolean);

function BackupActions({ backup, steering }) {
  const id = idOf(backup.name);
  const done = backup.state === "BACKUP_STATE_COMPLETED";
  const over = done || backup.state === "BACKUP_STATE_FAILED";
  return html`
    ${done && html`<button aria-label="Restore backup ${id}" onClick=${() => steering.ask(restoreQuestion(backup))}>Restore</button>
      <button aria-label="Download backup ${id}" onClick=${() => steering.act(() => download(backup.name))}>Download</button>`}
    ${over && html`<button class="danger" aria-label="Delete backup ${id}" onClick=${() => steering.ask(deleteQuestion(backup))}>Delete</button>`}`;
}

const restoreQuestion = (backup) => ({
  title: "Restore this backup?", verb: "Restore",
  text: "It becomes the current version of a save: the next session with that save begins with it. Earlier versions stay.",
  fields: [{ name: "saveId", label: "Into save", value: idOf(backup.save), hint: "Made when there is none of that name.", maxlength: 63 }],
  onSend: ({ saveId }) => api.act(backup.name, "restore", { saveId }),
});

const deleteQuestion = (backup) => ({
  title: "Delete this backup?", verb: "Delete", danger: true, onSend: () => api.remove(backup.name),
  text: html`Backup <code>${idOf(backup.name)}</code> of <b>${idOf(backup.game)}</b> is gone for good.`,
});

/** A backup of a session that is chosen among `sessions`, those that run. */
export function newBackup(sessions) {
  const token = clientToken();
  return {
    title: "Make a backup now", verb: "Back up",
    text: "Its volumes are copied as they are, between the lines that its deployment types into the game.",
    fields: [{ name: "session", label: "Session", value: sessions[0]?.name ?? "", options: sessions.map((one) => [one.name, named(one)]) }],
    onSend: ({ session }) => api.create("backups", { session, clientToken: token }),
  };
}

const named = (session) => `${idOf(session.game)} ${idOf(session.name)}${session.save ? `, save ${idOf(session.save)}` : ""}`;

export const scheduleColumns = (steering) => [
  { title: "Of", cell: (one) => html`<b>${idOf(one.game)}</b>${one.saveId && ` save ${one.saveId}`}` },
  { title: "At", cell: (one) => html`<code>${one.cron}</code> <span class="muted">${one.timeZone || "UTC"}</span>` },
  { title: "Keeps", cell: (one) => keeping(one) },
  { title: "Next", cell: (one) => (one.paused ? html`<${Chip} as="idle" label="Paused" />` : html`<${When} time=${one.nextTime} />`) },
  { title: "", cell: (one) => html`
      <button onClick=${() => steering.act(() => api.replace(one.name, { ...asGiven(one), paused: !one.paused }))}>${one.paused ? "Resume" : "Pause"}</button>
      <button aria-label="Edit schedule ${idOf(one.name)}" onClick=${() => steering.ask(scheduleForm(null, one))}>Edit</button>
      <button class="danger" aria-label="Delete schedule ${idOf(one.name)}" onClick=${() => steering.ask(unschedule(one))}>Delete</button>` },
];

const days = (duration) => (duration ? Number.parseFloat(duration) / 86400 : 0);

function keeping({ keepCount, keepFor }) {
  const rules = [keepCount > 0 && `the last ${keepCount}`, keepFor && `for ${Number(days(keepFor).toFixed(2))} days`].filter(Boolean);
  return rules.join(", ") || "all";
}

/** Without what the control plane adds. */
const asGiven = ({ nextTime: _next, createTime: _created, ...schedule }) => schedule;

/** For a new schedule of one of `games`, or to change `old`. */
export function scheduleForm(games, old) {
  const token = clientToken();
  const which = [
    { name: "game", label: "Game", value: games?.[0]?.name ?? "", options: (games ?? []).map((game) => [game.name, game.displayName || idOf(game.name)]) },
    { name: "saveId", label: "Only this save", value: "", required: false, hint: "Empty: every running session of the game." },
  ];
  return {
    title: old ? "Change the schedule" : "Back up by schedule", verb: old ? "Change" : "Schedule",
    fields: [
      ...(old ? [] : which),
      { name: "cron", label: "When", value: old?.cron ?? "30 4 * * *", hint: "Minute, hour, day of the month, month, day of the week." },
      { name: "timeZone", label: "Time zone", value: old?.timeZone || localZone(), required: false, hint: "Such as Europe/Berlin; empty: UTC." },
      { name: "keepCount", label: "Keep the last", type: "number", value: old?.keepCount ?? 7, min: 0, hint: "For each save apart; 0: any number." },
      { name: "keepDays", label: "Keep for days", type: "number", value: days(old?.keepFor), min: 0, hint: "0: for ever." },
    ],
    onSend({ keepCount, keepDays, ...given }) {
      const keeps = { keepCount: Number(keepCount), ...(Number(keepDays) > 0 && { keepFor: `${Math.round(Number(keepDays) * 86400)}s` }) };
      if (!old) return api.create("backupSchedules", { backupSchedule: { ...given, ...keeps }, clientToken: token });
      const { keepFor: _, ...kept } = asGiven(old);
      return api.replace(old.name, { ...kept, ...given, ...keeps });
    },
  };
}

const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";

const unschedule = (schedule) => ({
  title: "Delete this schedule?", verb: "Delete", danger: true, onSend: () => api.remove(schedule.name),
  text: html`<b>${idOf(schedule.game)}</b> is backed up by it no more. The backups that it made stay.`,
});
