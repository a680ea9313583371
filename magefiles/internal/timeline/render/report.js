"use strict";

// start makes the picture and the tables of the page work, and is called again after each
// update. It returns what the next update keeps.
const start = () => {
  const drawing = document.getElementById("drawing");
  if (!drawing) return null;
  const plot = document.getElementById("plot"), ground = document.getElementById("ground"), ticks = document.getElementById("ticks");
  const hover = document.getElementById("hover"), shown = document.getElementById("window");
  const number = (e, name) => Number(e.dataset[name]);
  const origin = number(drawing, "origin"), span = number(drawing, "span"), zone = number(drawing, "zone"), gutter = number(drawing, "gutter");
  const height = Number(drawing.getAttribute("height"));
  const svg = (name, attributes) => {
    const e = document.createElementNS(drawing.namespaceURI, name);
    for (const a in attributes) e.setAttribute(a, attributes[a]);
    return e;
  };

  // The page's own hover takes the place of the browser's, which is slow.
  const things = [];
  for (const title of plot.querySelectorAll("title")) {
    const e = title.parentNode;
    e.told = title.textContent;
    title.remove();
    things.push({ e, words: e.told.toLowerCase(), hides: !e.classList.contains("gap") && !e.classList.contains("size") });
  }
  const spans = [...plot.querySelectorAll("rect[data-a]")].map(e => ({ e, a: number(e, "a"), b: number(e, "b") }));
  const labels = [...plot.querySelectorAll("text[data-a]")].map(e => ({ e, a: number(e, "a"), b: number(e, "b"), text: e.textContent }));
  const marks = [...plot.querySelectorAll("g[data-a]")].map(e => ({ e, a: number(e, "a"), b: number(e, "b"), y: number(e, "y"), tail: e.querySelector(".tail") }));
  const curves = [...plot.querySelectorAll("path[data-points]")].map(e => ({
    e, area: number(e, "area"), points: e.dataset.points.split(" ").map(p => p.split(":").map(Number)),
  }));

  let from = 0, to = span, width = 0, planned = false;
  const least = Math.min(2000, span);

  const two = n => String(n).padStart(2, "0");
  const clock = (ms, seconds) => {
    const t = new Date(origin + ms + zone);
    return two(t.getUTCHours()) + ":" + two(t.getUTCMinutes()) + (seconds ? ":" + two(t.getUTCSeconds()) : "");
  };
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const took = ms => {
    const s = Math.round(ms / 1000);
    if (s < 60) return s + "s";
    if (s < 3600) return Math.floor(s / 60) + "m" + two(s % 60) + "s";
    return Math.floor(s / 3600) + "h" + two(Math.floor(s / 60) % 60) + "m";
  };
  const steps = [.2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800].map(s => s * 1000);

  const draw = () => {
    planned = false;
    const scale = width / (to - from), x = ms => (ms - from) * scale;
    for (const s of spans) {
      const a = Math.max(x(s.a), -5), b = Math.min(x(s.b), width + 5);
      const gone = b < 0 || a > width;
      s.e.style.display = gone ? "none" : "";
      if (gone) continue;
      s.e.setAttribute("x", a.toFixed(1));
      s.e.setAttribute("width", Math.max(b - a, 1).toFixed(1));
    }
    for (const l of labels) {
      const a = Math.max(x(l.a), 0) + 3, room = Math.floor((Math.min(x(l.b), width) - a - 3) / 5.7);
      l.e.setAttribute("x", a.toFixed(1));
      l.e.textContent = l.text.length <= room ? l.text : room < 6 ? "" : l.text.slice(0, room - 1) + "…";
    }
    for (const m of marks) {
      const a = x(m.a), b = x(m.b);
      m.e.style.display = b < -8 || a > width + 8 ? "none" : "";
      m.e.setAttribute("transform", "translate(" + a.toFixed(1) + " " + m.y + ")");
      if (m.tail) m.tail.setAttribute("width", Math.max(Math.min(b, width + 8) - a, 0).toFixed(1));
    }
    for (const c of curves) {
      let d = "";
      c.points.forEach(([ms, y], i) => {
        const at = Math.min(Math.max(x(ms), -20), width + 20).toFixed(1);
        d += i ? "H" + at + "V" + y : "M" + at + " " + (c.area ? c.area + "V" + y : y);
      });
      c.e.setAttribute("d", c.area ? d + "V" + c.area + "Z" : d);
    }
    axis(x);
    shown.textContent = clock(from, true) + " – " + clock(to, true) + " (" + took(to - from) + ")";
  };

  const axis = x => {
    ticks.replaceChildren();
    const step = steps.find(s => (to - from) / s <= width / 90) || steps[steps.length - 1];
    const start = origin + zone + from;
    for (let at = Math.ceil(start / step) * step; at <= origin + zone + to; at += step) {
      const ms = at - origin - zone, t = new Date(at);
      const label = svg("text", { class: "note", x: Math.min(Math.max(x(ms), 28), width - 28).toFixed(1), y: 14, "text-anchor": "middle" });
      label.textContent = to - from > 72e6 ? months[t.getUTCMonth()] + " " + t.getUTCDate() + " " + clock(ms) : clock(ms, step < 60000) + (step < 1000 ? "." + Math.floor(t.getUTCMilliseconds() / 100) : "");
      ticks.append(svg("line", { class: "grid", x1: x(ms).toFixed(1), x2: x(ms).toFixed(1), y1: 20, y2: height, "stroke-opacity": .3 }), label);
    }
  };

  const plan = () => {
    if (!planned) {
      planned = true;
      requestAnimationFrame(draw);
    }
  };

  const resize = () => {
    const all = Math.max(document.getElementById("canvas").clientWidth, gutter + 240);
    width = all - gutter;
    drawing.setAttribute("width", all);
    drawing.setAttribute("viewBox", "0 0 " + all + " " + height);
    plot.setAttribute("width", width);
    ground.setAttribute("width", width);
    for (const s of drawing.querySelectorAll(".stripe")) s.setAttribute("width", all);
    for (const l of drawing.querySelectorAll(".grid.wide")) l.setAttribute("x2", all);
    plan();
  };

  const show = (a, b) => {
    const wide = Math.min(Math.max(b - a, least), span);
    if (b - a < least) a = (a + b - wide) / 2;
    from = Math.min(Math.max(a, 0), span - wide);
    to = from + wide;
    plan();
  };
  const zoom = (factor, at) => show(at - (at - from) * factor, at + (to - at) * factor);
  const timeAt = event => from + (event.clientX - plot.getBoundingClientRect().left) / width * (to - from);
  const inPlot = event => event.clientX >= drawing.getBoundingClientRect().left + gutter;

  drawing.addEventListener("wheel", event => {
    if (!inPlot(event)) return;
    if (event.ctrlKey || event.metaKey || event.altKey) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 120), from + (event.clientX - drawing.getBoundingClientRect().left - gutter) / width * (to - from));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const by = (event.deltaX || event.deltaY) / width * (to - from);
      show(from + by, to + by);
    }
  }, { passive: false });

  let held = null;
  plot.addEventListener("pointerdown", event => {
    if (event.button) return;
    held = { x: event.clientX, from, to };
    plot.setPointerCapture(event.pointerId);
    plot.classList.add("held");
  });
  plot.addEventListener("pointermove", event => {
    if (!held) return;
    hover.hidden = true;
    const by = (held.x - event.clientX) / width * (held.to - held.from);
    show(held.from + by, held.to + by);
  });
  for (const end of ["pointerup", "pointercancel"]) plot.addEventListener(end, () => {
    held = null;
    plot.classList.remove("held");
  });
  const reset = () => show(0, span);
  plot.addEventListener("dblclick", reset);
  document.getElementById("reset").onclick = reset;
  document.getElementById("in").onclick = () => zoom(.5, (from + to) / 2);
  document.getElementById("out").onclick = () => zoom(2, (from + to) / 2);

  plot.addEventListener("pointermove", event => {
    if (held) return;
    let e = event.target;
    while (e && e !== plot && !e.told) e = e.parentNode;
    const told = e && e.told;
    hover.hidden = false;
    hover.textContent = told || clock(timeAt(event), true);
    const box = hover.getBoundingClientRect();
    hover.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + "px";
    hover.style.top = Math.max(4, event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18) + "px";
  });
  plot.addEventListener("pointerleave", () => { hover.hidden = true; });

  for (const b of document.querySelectorAll("button[data-to]")) b.onclick = () => {
    const section = document.querySelector('[data-at="' + b.dataset.to + '"]'), details = section.querySelector("details");
    if (details) details.open = true;
    section.scrollIntoView();
  };

  const rows = [...document.querySelectorAll("table.filtered tbody tr")].map(e => ({ e, words: null }));
  const filter = document.getElementById("filter");
  filter.oninput = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = text => words.every(w => text.includes(w));
    for (const t of things) t.e.classList.toggle("off", t.hides && !fits(t.words));
    for (const r of rows) {
      if (words.length) r.words = r.words || r.e.textContent.toLowerCase();
      r.e.classList.toggle("out", words.length > 0 && !fits(r.words));
    }
  };
  if (filter.value) filter.oninput();

  drawing.classList.add("live");
  const observer = new ResizeObserver(resize);
  observer.observe(document.getElementById("canvas"));
  onbeforeprint = reset;
  resize();
  return {
    // Times are milliseconds since 1970, because an update moves the picture's origin.
    from: () => origin + from, to: () => origin + to,
    whole: () => from === 0 && to === span, last: () => to === span,
    end: () => origin + span,
    show: (a, b) => show(a - origin, b - origin),
    held: () => held !== null,
    stop: () => {
      observer.disconnect();
      hover.hidden = true;
    },
  };
};
let view = start();
