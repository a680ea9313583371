// Runs live.js with a small document, and checks what it does. Its argument is the path of
// live.js. It needs node, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import vm from "node:vm";

// Element has as much of an element as live.js uses. A text is an element without a name.
class Element {
  constructor(name, attributes = {}, ...children) {
    Object.assign(this, { name, id: attributes.id, dataset: attributes.data ?? {}, text: "", trouble: false, parent: null, list: [] });
    this.replaceChildren(...children);
  }
  get children() { return this.list.filter(e => e.name); }
  get childNodes() { return this.list; }
  get firstElementChild() { return this.children[0] ?? null; }
  get nextElementSibling() {
    const all = this.parent.children;
    return all[all.indexOf(this) + 1] ?? null;
  }
  get isConnected() { return this.name === "page" || Boolean(this.parent?.isConnected); }
  get innerHTML() { return this.list.map(e => e.name ? `<${e.name}>${e.innerHTML}</${e.name}>` : e.text).join(""); }
  get textContent() { return this.text + this.list.map(e => e.textContent).join(""); }
  set textContent(text) { this.list = []; this.text = text; }
  get classList() { return { toggle: (_, on) => { this.trouble = on; } }; }
  adopt(e) {
    if (typeof e === "string") e = Object.assign(new Element(""), { text: e });
    e.remove();
    e.parent = this;
    return e;
  }
  replaceChildren(...all) {
    for (const e of this.list) e.parent = null;
    this.list = [];
    for (const e of all) this.list.push(this.adopt(e));
  }
  insertBefore(e, at) {
    e = this.adopt(e);
    this.list.splice(at ? this.list.indexOf(at) : this.list.length, 0, e);
  }
  remove() {
    if (this.parent) this.parent.list = this.parent.list.filter(e => e !== this);
    this.parent = null;
  }
  replaceWith(e) {
    const { parent } = this;
    parent.insertBefore(e, this);
    this.remove();
  }
  getBoundingClientRect() { return { top: 10 * this.parent.children.indexOf(this) + 1 }; }
  * all() { for (const e of this.list) { yield e; yield* e.all(); } }
  querySelectorAll(selector) {
    const matches = { "[data-part]": e => e.dataset.part, "tbody tr": e => e.name === "tr" }[selector] ?? (e => e.name === selector);
    return [...this.all()].filter(matches);
  }
  querySelector(selector) { return this.querySelectorAll(selector)[0] ?? null; }
  getElementById(id) { return [...this.all()].find(e => e.id === id) ?? null; }
}

// page has a header with a part, and a table with these rows; a picture unless drawing is false.
const page = (version, title, rows, drawing = true) => new Element("page", {},
  new Element("header", {}, new Element("p", { id: "live", data: { version, again: "AGAIN" } }), new Element("h1", { data: { part: "title" } }, title)),
  new Element("main", {},
    ...(drawing ? [new Element("svg", { id: "drawing" })] : []),
    new Element("section", { data: { part: "pods" } }, new Element("tbody", {}, ...rows.map(r => new Element("tr", {}, r))))));

// Browser runs live.js. Each call of round lets it ask once; the clock moves by a second before.
class Browser {
  constructor(document, view) {
    this.now = 1e6;
    this.answers = {};
    this.asked = [];
    this.views = 0;
    const browser = this;
    this.document = document;
    this.context = vm.createContext({
      document, view, scrollY: 0, scrollBy: () => {}, AbortSignal: { timeout: () => null }, console,
      Date: { now: () => browser.now },
      start: () => { browser.views++; return browser.next ?? view; },
      setTimeout: ask => { browser.ask = ask; },
      DOMParser: class { parseFromString(text) { return browser.pages[text](); } },
      fetch: async path => {
        browser.asked.push(path);
        const answer = browser.answers[path];
        if (answer instanceof Error) throw answer;
        browser.now += answer.takes ?? 0;
        return { ok: (answer.status ?? 200) < 400, status: answer.status ?? 200, text: async () => answer.text };
      },
    });
    document.hidden = false;
  }
  async settle() {
    for (let i = 0; i < 50; i++) await null;
    assert.ok(this.ask, "it does not ask again");
  }
  async begin(script) {
    vm.runInContext(script, this.context);
    await this.settle();
  }
  async round() {
    const ask = this.ask;
    this.ask = null;
    this.now += 1000;
    ask();
    await this.settle();
  }
  state(version, quietSeconds, trouble) { this.answers.state = { text: JSON.stringify({ version, quietSeconds, trouble }) }; }
  get status() { return this.document.getElementById("live"); }
}

const script = readFileSync(process.argv[2], "utf8");
const still = { held: () => false, from: () => 0, to: () => 1, whole: () => true, last: () => true, end: () => 1, show: () => {}, stop: () => {} };
const texts = document => document.querySelectorAll("tbody tr").map(r => r.textContent);

const tests = {
  async "a record that has not changed"() {
    const b = new Browser(page("1", "title", ["a"]), still);
    for (const [seconds, trouble, want] of [
      [3, undefined, "Live. The record grew 3s ago."], [75, undefined, "Live, but the record has not grown for 75s."],
      [600, undefined, "Live, but the record has not grown for 10m."], [7200, "why", "Live, but the record has not grown for 2.0h. why"],
    ]) {
      b.state("1", seconds, trouble);
      await (b.ask ? b.round() : b.begin(script));
      assert.equal(b.status.textContent, want);
      assert.equal(b.status.trouble, Boolean(trouble));
    }
    assert.ok(!b.asked.includes("./"), "it asks for the page");
  },

  async "a record that grew keeps the rows that did not change"() {
    const b = new Browser(page("1", "old", ["a", "b", "c"]), still);
    const [a, , c] = b.document.querySelectorAll("tbody tr");
    b.state("2", 0);
    b.pages = { P: () => page("2", "new", ["a", "x", "c", "d"]) };
    b.answers["./"] = { text: "P" };
    await b.begin(script);
    assert.deepEqual(texts(b.document), ["a", "x", "c", "d"]);
    const rows = b.document.querySelectorAll("tbody tr");
    assert.ok(rows[0] === a && rows[2] === c, "it replaced a row that did not change");
    assert.equal(b.document.querySelector("h1").textContent, "new");
    assert.equal(b.views, 1);
    await b.round();
    assert.equal(b.asked.filter(p => p === "./").length, 1, "it asks again for a page that it has");
  },

  async "rows in another order"() {
    for (const next of [["c", "b", "a"], [], ["b", "a", "b"], ["z"]]) {
      const b = new Browser(page("1", "t", ["a", "b", "c"]), still);
      b.state("2", 0);
      b.pages = { P: () => page("2", "t", next) };
      b.answers["./"] = { text: "P" };
      const [title] = b.document.querySelector("h1").childNodes;
      await b.begin(script);
      assert.deepEqual(texts(b.document), next);
      assert.equal(b.document.querySelector("h1").childNodes[0], title, "it replaced a part that did not change");
    }
  },

  async "nobody looks, or the picture is held"() {
    let held = true;
    const b = new Browser(page("1", "t", ["a"]), { ...still, held: () => held });
    b.state("2", 0);
    b.pages = { P: () => page("2", "t", ["b"]) };
    b.answers["./"] = { text: "P" };
    await b.begin(script);
    held = false;
    b.document.hidden = true;
    await b.round();
    assert.deepEqual(texts(b.document), ["a"]);
    b.document.hidden = false;
    await b.round();
    assert.deepEqual(texts(b.document), ["b"]);
  },

  async "a large page is updated less often"() {
    const b = new Browser(page("1", "t", ["a"]), still);
    let version = 1;
    b.pages = { P: () => page(String(version), "t", ["row " + version]) };
    b.answers["./"] = { text: "P", takes: 2000 };
    b.state(String(++version), 0);
    await b.begin(script);
    let rounds = 0;
    for (b.state(String(++version), 0); !texts(b.document).includes("row 3"); rounds++) {
      assert.ok(rounds < 20, "it is never updated again");
      await b.round();
    }
    assert.ok(rounds >= 8, `after ${rounds} seconds, for a page that takes 2`);
  },

  async "the picture stays where its reader looks"() {
    for (const [last, want] of [[false, [10, 20]], [true, [15, 25]]]) {
      let shown;
      const b = new Browser(page("1", "t", ["a"]), { ...still, from: () => 10, to: () => 20, whole: () => false, last: () => last });
      b.next = { ...still, end: () => 25, show: (...at) => { shown = at; } };
      b.state("2", 0);
      b.pages = { P: () => page("2", "t", ["b"]) };
      b.answers["./"] = { text: "P" };
      await b.begin(script);
      assert.deepEqual(shown, want);
    }
  },

  async "the first picture of a page"() {
    const b = new Browser(page("1", "t", [], false), null);
    b.next = still;
    b.state("2", 0);
    b.pages = { P: () => page("2", "t", ["a"]) };
    b.answers["./"] = { text: "P" };
    await b.begin(script);
    assert.ok(b.document.getElementById("drawing") && b.views === 1);
  },

  async "a server that does not answer, or fails"() {
    const b = new Browser(page("1", "t", ["a"]), still);
    b.state("1", 0);
    await b.begin(script);
    b.answers.state = new Error("connection refused");
    await b.round();
    await b.round();
    assert.match(b.status.textContent, /^The server has not answered for 2s: .* Start it again with: AGAIN$/);
    b.answers.state = { status: 500, text: "no record" };
    await b.round();
    assert.equal(b.status.textContent, "This page is not updated: the server answers 500 no record. Reload it.");
    assert.ok(b.status.trouble);
    b.state("1", 1);
    await b.round();
    assert.equal(b.status.textContent, "Live. The record grew 1s ago.");
    assert.ok(!b.status.trouble);
  },
};

for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
  } catch (e) {
    console.error(`${name}: ${e.stack}`);
    process.exitCode = 1;
  }
}
