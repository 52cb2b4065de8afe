// Asks on a host name that this browser has never seen which certificate it presents, and shows the portal's verdict.
"use strict";
(() => {
  const main = document.querySelector("main");
  const AGAIN_MS = 60000; // an open page notices a change at the server within a minute
  const PATIENCE_MS = 15000;
  let next = main.dataset.check;
  let running = false;
  let checkedAt = 0;

  const show = (view) => {
    for (const name of ["headline", "user", "device", "serial", "expires", "remedy", "hint", "code", "reference"])
      main.querySelector(`[data-field="${name}"]`).textContent = view[name] ?? "";
    main.querySelector('[data-field="reason"]').textContent = view.text;
    main.querySelector("dl").hidden = view.serial === undefined;
    main.querySelector('[data-field="hint"]').hidden = view.hint === undefined;
    main.querySelector(".desk").hidden = view.reference === undefined;
    document.title = document.title.replace(/^.* – /, () => `${view.headline} – `);
    main.dataset.status = view.status; // last: whoever waits for it finds the rest in place
  };

  const ask = async (url) => {
    const reply = await fetch(url, {
      credentials: "include", cache: "no-store", redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return (await reply.json()).answer ?? null;
  };

  const submit = async (answer) => {
    const reply = await fetch("/session", {
      method: "POST", cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS),
      headers: { "Content-Type": "application/json", "Accept": "application/json" },
      body: JSON.stringify({ answer, now: Math.floor(Date.now() / 1000) }),
    });
    const view = await reply.json();
    if (typeof view.status !== "string") throw new Error(`the portal answered ${reply.status}`);
    return { view, refused: !reply.ok };
  };

  const attempt = async () => {
    const { view, refused } = await submit(await ask(next).catch(() => null));
    next = view.next ?? next;
    return { view, refused };
  };

  const check = async () => {
    if (running || !next) return;
    running = true;
    try {
      let { view, refused } = await attempt();
      if (refused) ({ view } = await attempt()); // the session was over; there is a new one now
      show(view);
    } catch {
      if (main.dataset.status === "checking")
        show({
          status: "unmanaged", headline: "The check did not end", code: "check-failed",
          text: "The portal could not be reached.", remedy: "Check the network and try again.",
        });
    } finally {
      running = false;
      checkedAt = Date.now();
    }
  };

  const again = () => {
    if (document.visibilityState === "visible" && Date.now() - checkedAt >= AGAIN_MS) check();
  };

  if (location.search) history.replaceState(null, "", "/"); // an answer is used once; a reload asks anew
  if (main.dataset.status === "checking") check();
  else checkedAt = Date.now();
  document.addEventListener("visibilitychange", again);
  window.addEventListener("pageshow", (event) => { if (event.persisted) check(); });
  setInterval(again, AGAIN_MS);
})();
