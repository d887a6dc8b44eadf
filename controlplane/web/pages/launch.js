// Starts a session: game, preset and region, and where the player is, if a region asks. A refusal shows at the field that
// it is about.
import { api, clientToken } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { idOf } from "../format.js";
import { playHash } from "../router.js";
import { keepTerritory, territory } from "../territory.js";
import { Problem } from "../ui.js";

const RETRY_MS = 2000;

export function Launch() {
  const [choices, setChoices] = useState(null);
  const [wish, setWish] = useState({ game: "", preset: "", region: "", territory: territory() });
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => readChoices(setChoices, setProblem), []);
  const { games = [], presets = [], regions = [] } = choices ?? {};
  const game = games.find((one) => one.name === wish.game) ?? games[0];
  const lawful = regions.some(({ law }) => law?.allow?.length || law?.deny?.length);
  const set = (field) => (event) => setWish({ ...wish, [field]: event.target.value });
  const start = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    const { territory: said, ...plain } = wish;
    const asked = lawful && said ? wish : plain;
    if (lawful) keepTerritory(said);
    try {
      const session = await api.createSession({ ...asked, game: game.name, clientToken: clientToken() });
      location.hash = playHash(idOf(session.name));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  const own = presets.find((preset) => preset.presetId === game?.defaultPreset)?.displayName;
  return html`<aside class="panel launch" aria-labelledby="launch-title">
    <h2 id="launch-title">Start a session</h2>
    <form onSubmit=${start}>
      <fieldset class="games">
        <legend class="label">Game</legend>
        ${games.map((one) => html`<${GameChoice} key=${one.name} game=${one} chosen=${one === game} onChoose=${set("game")} />`)}
        ${choices && games.length === 0 && html`<p class="empty">The catalogue is empty.</p>`}
      </fieldset>
      <${Choice} name="preset" label="Preset" none="The game's own" hint=${own} value=${wish.preset}
        options=${presets.map((preset) => [preset.presetId, preset.displayName])} onChange=${set("preset")} error=${problem} />
      <${Choice} name="region" label="Region" none="Any" value=${wish.region}
        options=${regions.map((region) => [region.regionId, region.displayName])} onChange=${set("region")} error=${problem} />
      ${lawful && html`<${Territory} value=${wish.territory} onInput=${set("territory")} error=${problem} />`}
      <${Problem} error=${problem} />
      <button class="primary" disabled=${busy || !game}>${busy ? "Asking …" : "Start"}</button>
    </form>
  </aside>`;
}

/** Tries again until the control plane has answered; ends with the page. */
function readChoices(onChoices, onProblem) {
  let timer;
  const read = () =>
    Promise.all([api.games(), api.presets(), api.regions()]).then(
      ([games, presets, regions]) => onChoices({ games, presets, regions }),
      (error) => {
        if (error.retryable) timer = setTimeout(read, RETRY_MS);
        else onProblem(error);
      },
    );
  read();
  return () => clearTimeout(timer);
}

const GameChoice = ({ game, chosen, onChoose }) => html`<label class="game ${chosen ? "chosen" : ""}">
  <input type="radio" name="game" value=${game.name} checked=${chosen} onChange=${onChoose} />
  <b>${game.displayName || idOf(game.name)}</b>
  ${game.summary && html`<span class="muted">${game.summary}</span>`}
</label>`;

function Territory({ value, onInput, error }) {
  const upper = (event) => onInput({ target: { value: event.target.value.toUpperCase() } });
  return html`<label class="field">
    <span class="label">Where you are</span>
    <input name="territory" value=${value} onInput=${upper} pattern="[A-Z]{2}" maxlength="2" placeholder="DE"
      autocomplete="country" title="A country by its two letters, such as DE" aria-invalid=${isWrong(error, "territory")} />
    <span class="hint">Your country by its two letters. Some regions serve nobody who leaves it out.</span>
  </label>`;
}

const isWrong = (error, name) => (error?.fields ?? []).some(({ field }) => field === name);

function Choice({ name, label, none, hint, value, options, onChange, error }) {
  return html`<label class="field">
    <span class="label">${label}</span>
    <select name=${name} value=${value} onChange=${onChange} aria-invalid=${isWrong(error, name)}>
      <option value="">${none}</option>
      ${options.map(([id, text]) => html`<option key=${id} value=${id}>${text || id}</option>`)}
    </select>
    ${hint && !value && html`<span class="hint">${hint}</span>`}
  </label>`;
}
