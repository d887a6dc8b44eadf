// What an action of a deployment asks for before its lines are typed.
import { html, useEffect, useRef, useState } from "../dom.js";
import { Problem } from "../ui.js";

const INPUT = { PARAMETER_TYPE_INTEGER: "number", PARAMETER_TYPE_NUMBER: "number", PARAMETER_TYPE_SECRET: "password" };

export function ActionForm({ action, problem, onExecute, onCancel }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  const [values, setValues] = useState({});
  const submit = (event) => (event.preventDefault(), onExecute(values));
  const set = (name) => (event) => setValues({ ...values, [name]: event.target.value });
  return html`<dialog ref=${dialog} onCancel=${onCancel} aria-labelledby="action-title">
    <form onSubmit=${submit}>
      <h2 id="action-title">${action.displayName || action.actionName}</h2>
      ${action.parameters.map((parameter) => html`<label class="field">
        <span class="label">${parameter.parameterName.replaceAll("_", " ")}</span>
        <${Value} parameter=${parameter} onInput=${set(parameter.parameterName)} />
        ${parameter.description && html`<span class="hint">${parameter.description}</span>`}
      </label>`)}
      <${Problem} error=${problem} />
      <div class="actions">
        <button type="button" onClick=${onCancel}>Cancel</button>
        <button class="primary">Send</button>
      </div>
    </form>
  </dialog>`;
}

function Value({ parameter, onInput }) {
  const { type, choices = [], defaultValue, minimum, maximum } = parameter;
  const offered = type === "PARAMETER_TYPE_BOOL" ? ["true", "false"] : choices;
  if (offered.length > 0) {
    return html`<select onInput=${onInput} required=${defaultValue === undefined}>
      ${defaultValue === undefined && html`<option value="">choose …</option>`}
      ${offered.map((one) => html`<option value=${one} selected=${one === defaultValue}>${one}</option>`)}
    </select>`;
  }
  return html`<input type=${INPUT[type] ?? "text"} step="any" min=${minimum} max=${maximum} placeholder=${defaultValue}
    required=${defaultValue === undefined} onInput=${onInput} />`;
}
