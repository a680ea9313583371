
// The page of timeline:serve asks for updates, and keeps what its reader sees: the place on
// the page, the filter, open details and the zoom.
(() => {
  const status = document.getElementById("live");
  let version = status.dataset.version, answered = Date.now(), due = 0;
  const soonest = 1000;

  const age = s => s < 90 ? Math.round(s) + "s" : s < 5400 ? Math.round(s / 60) + "m" : (s / 3600).toFixed(1) + "h";
  const say = (text, trouble) => {
    status.textContent = text;
    status.classList.toggle("trouble", trouble);
  };

  const parts = page => new Map([...page.querySelectorAll("[data-part]")].map(e => [e.dataset.part, e]));

  // fill gives e the content of fresh. The rows of a table that did not change stay where
  // they are, with what is selected in them.
  const fill = (e, fresh) => {
    const rows = e.querySelector("tbody"), next = fresh.querySelector("tbody");
    if (!rows || !next) {
      e.replaceChildren(...fresh.childNodes);
      return;
    }
    const old = new Map([...rows.children].map((r, i) => [r.innerHTML, { r, i }]));
    let at = rows.firstElementChild, passed = -1;
    for (const r of [...next.children]) {
      const same = old.get(r.innerHTML);
      if (!same || same.i <= passed) {
        rows.insertBefore(r, at);
        continue;
      }
      while (at !== same.r) {
        const gone = at;
        at = at.nextElementSibling;
        gone.remove();
      }
      at = at.nextElementSibling;
      passed = same.i;
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
    }
  };

  // refresh gives the parts of here that changed their content in page.
  const refresh = (here, page) => {
    const now = parts(page);
    for (const [name, e] of parts(here)) {
      const next = now.get(name);
      if (next && (name === "canvas" || e.innerHTML !== next.innerHTML)) fill(e, next);
    }
  };

  const update = page => {
    refresh(document.querySelector("header"), page);
    const main = document.querySelector("main"), fresh = page.querySelector("main");
    if (!view || !page.getElementById("drawing")) {
      if (view) view.stop();
      main.replaceWith(fresh);
      view = start();
      return;
    }
    const seen = { from: view.from(), to: view.to(), whole: view.whole(), last: view.last() };
    const row = [...document.querySelectorAll("tbody tr")].find(r => r.getBoundingClientRect().top > 0);
    const top = row && row.getBoundingClientRect().top;
    view.stop();
    refresh(main, page);
    view = start();
    if (!seen.whole) {
      const by = seen.last ? view.end() - seen.to : 0;
      view.show(seen.from + by, seen.to + by);
    }
    if (row && row.isConnected && scrollY) scrollBy(0, row.getBoundingClientRect().top - top);
  };

  // get returns the text of what the server answers. silent marks the error of a server that
  // does not.
  const get = async path => {
    let answer, text;
    try {
      answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(30000) });
      text = await answer.text();
    } catch (e) {
      throw Object.assign(e, { silent: true });
    }
    answered = Date.now();
    if (!answer.ok) throw new Error("the server answers " + answer.status + " " + text);
    return text;
  };

  const ask = async () => {
    try {
      const state = JSON.parse(await get("state"));
      if (state.version !== version && !document.hidden && !(view && view.held()) && answered >= due) {
        const asked = Date.now();
        const page = new DOMParser().parseFromString(await get("./"), "text/html");
        update(page);
        version = page.getElementById("live").dataset.version;
        due = Date.now() + 4 * (Date.now() - asked); // a large page is updated less often
      }
      const quiet = state.quietSeconds < 60 ? "Live. The record grew " + age(state.quietSeconds) + " ago." : "Live, but the record has not grown for " + age(state.quietSeconds) + ".";
      say(state.trouble ? quiet + " " + state.trouble : quiet, Boolean(state.trouble));
    } catch (e) {
      say(e.silent ? "The server has not answered for " + age((Date.now() - answered) / 1000) + ": this page shows what was known then. Start it again with: " + status.dataset.again : "This page is not updated: " + e.message + ". Reload it.", true);
    }
    setTimeout(ask, soonest);
  };
  ask();
})();
