// Starts a session: game, preset and region. A refusal shows at the field that it is about.
import { api, clientToken } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { idOf } from "../format.js";
import { playHash } from "../router.js";
import { Problem } from "../ui.js";

export function Launch({ regions, presets }) {
  const [games, setGames] = useState(null);
  const [wish, setWish] = useState({ game: "", preset: "", region: "" });
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => readGames(setGames, setProblem), []);
  useEffect(() => {
    if (games?.length && !wish.game) setWish({ ...wish, game: games[0].name });
  }, [games]);
  const set = (field) => (event) => setWish({ ...wish, [field]: event.target.value.trim() });
  const start = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const session = await api.createSession({ ...wish, clientToken: clientToken() });
      location.hash = playHash(idOf(session.name));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  const known = [...new Set([...(games ?? []).map((game) => game.defaultPreset).filter(Boolean), ...presets])].sort();
  return html`<aside class="panel launch" aria-labelledby="launch-title">
    <h2 id="launch-title">Start a session</h2>
    <form onSubmit=${start}>
      <fieldset class="games">
        <legend class="label">Game</legend>
        ${(games ?? []).map((game) => html`<${GameChoice} game=${game} chosen=${wish.game === game.name} onChoose=${set("game")} />`)}
        ${games?.length === 0 && html`<p class="empty">The catalogue is empty.</p>`}
      </fieldset>
      <${Field} name="preset" label="Preset" hint="the game's own" value=${wish.preset} options=${known} onInput=${set("preset")} error=${problem} />
      <${Field} name="region" label="Region" hint="any" value=${wish.region} options=${regions} onInput=${set("region")} error=${problem} />
      <${Problem} error=${problem} />
      <button class="primary" disabled=${busy || !wish.game}>${busy ? "Asking …" : "Start"}</button>
    </form>
  </aside>`;
}

/** Tries again until the catalogue has answered; ends with the page. */
function readGames(onGames, onProblem) {
  let timer;
  const read = () =>
    api.games().then(onGames, (error) => {
      if (error.retryable) timer = setTimeout(read, 2000);
      else onProblem(error);
    });
  read();
  return () => clearTimeout(timer);
}

const GameChoice = ({ game, chosen, onChoose }) => html`<label class="game ${chosen ? "chosen" : ""}">
  <input type="radio" name="game" value=${game.name} checked=${chosen} onChange=${onChoose} />
  <b>${game.displayName || idOf(game.name)}</b>
  ${game.summary && html`<span class="muted">${game.summary}</span>`}
</label>`;

function Field({ name, label, hint, value, options, onInput, error }) {
  const wrong = (error?.fields ?? []).some(({ field }) => field === name);
  return html`<label class="field">
    <span class="label">${label}</span>
    <input name=${name} list="known-${name}" value=${value} placeholder=${hint} autocomplete="off" spellcheck="false"
      onInput=${onInput} aria-invalid=${wrong} />
    <datalist id="known-${name}">${options.map((option) => html`<option value=${option} />`)}</datalist>
  </label>`;
}
