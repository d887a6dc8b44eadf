// What an action of a deployment asks for before its lines are typed.
import { html } from "../dom.js";
import { Ask } from "../ui.js";

const INPUT = { PARAMETER_TYPE_INTEGER: "number", PARAMETER_TYPE_NUMBER: "number", PARAMETER_TYPE_SECRET: "password" };

export const ActionForm = ({ action, onExecute, onCancel }) => html`<${Ask} title=${action.displayName || action.actionName}
  verb="Send" fields=${action.parameters.map(field)} onSend=${(values) => onExecute(given(values))} onClose=${onCancel} />`;

/** What is left empty is the deployment's default. */
const given = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));

function field({ parameterName, type, choices = [], description, defaultValue, minimum, maximum }) {
  const offered = type === "PARAMETER_TYPE_BOOL" ? ["true", "false"] : choices;
  const none = [["", defaultValue === undefined ? "choose …" : `${defaultValue} (default)`]];
  return {
    name: parameterName, label: parameterName.replaceAll("_", " "), hint: description, required: defaultValue === undefined,
    options: offered.length > 0 ? [...none, ...offered.map((one) => [one, one])] : undefined,
    type: INPUT[type] ?? "text", min: minimum, max: maximum, placeholder: defaultValue,
  };
}
