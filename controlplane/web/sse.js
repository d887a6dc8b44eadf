// Server-sent events over fetch: unlike EventSource it sees the status of the answer and its error.

/**
 * Splits a stream of text into events (WHATWG HTML, section 9.2.6).
 * @param {(event: {type: string, data: string}) => void} onEvent
 * @returns {(text: string) => void} takes the next piece of text, cut anywhere
 */
export function parser(onEvent) {
  let rest = "";
  let type = "";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length > 0) onEvent({ type: type || "message", data: data.join("\n") });
      type = "";
      data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(text);
    if (field === "data") data.push(value);
    if (field === "event") type = value;
  };
  return (text) => {
    // A lone CR at the end may be half of CRLF: it waits for what follows.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}
