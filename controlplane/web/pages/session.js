// What the pages of one session share: the session as it changes, and its end.
import { api, insist } from "../api.js";
import { useEffect, useRef, useState } from "../dom.js";
import { watchSession } from "../live.js";
import { finished } from "../format.js";

export function useSession(name) {
  const [seen, setSeen] = useState({ session: null, link: "polling", error: null });
  useEffect(() => watchSession(name, (session, link, error) => setSeen({ session, link, error }), finished), [name]);
  return seen;
}

/** Asks for the end until somebody hears it: a stop must not be lost with a control plane that is just away. */
export function useStop(session, onProblem) {
  const [asked, setAsked] = useState(false);
  const leaving = useRef(new AbortController());
  useEffect(() => () => leaving.current.abort(), []);
  const stop = () => {
    setAsked(true);
    insist(() => api.stopSession(session.name), () => {}, leaving.current.signal).catch((error) => {
      setAsked(false);
      onProblem(error);
    });
  };
  return [asked || session?.state === "SESSION_STATE_STOPPING", stop];
}
