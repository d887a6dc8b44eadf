// Sign-in: trades the one-time code of a link, or says how to get such a link.
import { api } from "../api.js";
import { html, useEffect, useState } from "../dom.js";
import { Masthead, Problem } from "../ui.js";

export function SignInPage({ code = "", next = "#/", onSignedIn }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(Boolean(code));
  useEffect(() => {
    if (!code) return;
    // The code leaves address bar and history before it is used.
    history.replaceState(null, "", "#/signin");
    signIn(code).then(
      () => onSignedIn(next),
      (error) => (setProblem(error), setBusy(false)),
    );
  }, []);
  return html`<${Masthead} />
    <main class="centre">
      <section class="card welcome">
        <img src="mark.svg" alt="" width="72" height="72" />
        ${busy
          ? html`<h1>Welcome aboard</h1><p class="muted" role="status">Signing you in …</p>`
          : html`<h1>${problem ? "That link does not work" : "Sign in"}</h1>
              <${Problem} error=${problem} />
              <p>Quarterdeck has no passwords: a one-time link signs this browser in. Ask whoever runs this house for one. Who
                does, on the machine where it runs:</p>
              <pre><code>quarterdeck signin</code></pre>
              <p class="muted">The link that <code>quarterdeck up</code> printed works too, once.</p>`}
      </section>
    </main>`;
}

/** A link opened a second time is no failure where the browser is signed in already. */
async function signIn(code) {
  try {
    await api.signIn(code);
  } catch (error) {
    if (error.retryable) throw error;
    await api.account().catch(() => {
      throw error;
    });
  }
}
