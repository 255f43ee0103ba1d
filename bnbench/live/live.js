// Asks every two seconds how the sweeps stand, and changes what has changed, so that nothing flashes or loses its place.
"use strict";

const EVERY = 2000; // milliseconds
const MARKS = { running: "▶", failed: "✗", unreadable: "?", "cut off": "◐", "to do": "·" };
const WORDS = { "cut off": "to do, goes on from a checkpoint" };
const MANY = 20; // seeds of which each has a picture; of more each has a mark
const WIDE = 320, TALL = 120, EDGE = 18; // of a trace
const SVG = "http://www.w3.org/2000/svg";
const state = document.getElementById("state"), quantity = document.getElementById("quantity");
const views = new Map(); // by the name of a protocol

function make(tag, className = "", content = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(content);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setLines(element, lines) {
  if (element.dataset.said === JSON.stringify(lines)) return;
  element.dataset.said = JSON.stringify(lines);
  element.replaceChildren(...lines.map(line => make("p", "trouble", line)));
}

const named = fit => `${fit.arm}, p = ${fit.p}, seed ${fit.seed}`;

function drawn(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

// The losses of both colours so far, over the whole fit's steps.
function trace(fit, threshold) {
  const picture = drawn("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": `Loss so far: ${named(fit)}` });
  const top = 1.15 * Math.max(threshold, ...fit.trace.flatMap(([, black, white]) => [black, white]));
  const low = Math.min(0, ...fit.trace.flatMap(([, black, white]) => [black, white]));
  const x = step => EDGE + (WIDE - EDGE - 4) * step / fit.steps, y = loss => 6 + (TALL - EDGE - 6) * (1 - (loss - low) / (top - low));
  const line = place => fit.trace.map(row => `${x(row[0]).toFixed(1)},${y(row[place]).toFixed(1)}`).join(" ");
  picture.append(drawn("line", { class: "threshold", x1: EDGE, x2: WIDE - 4, y1: y(threshold), y2: y(threshold) }),
    drawn("text", { x: 2, y: y(threshold) + 3 }, String(threshold)), drawn("text", { x: 2, y: y(0) + 3 }, "0"),
    drawn("text", { x: EDGE, y: TALL - 4 }, "loss, steps"), drawn("text", { x: WIDE - 4, y: TALL - 4, "text-anchor": "end" }, fit.steps.toLocaleString("en")),
    drawn("polyline", { class: "black", points: line(1) }), drawn("polyline", { class: "white", points: line(2) }));
  return picture;
}

class SweepView {
  constructor(name) {
    this.root = make("section");
    this.title = make("h2", "", name);
    this.where = make("p"), this.pace = make("p"), this.trouble = make("div");
    this.grid = make("div", "scroll"), this.running = make("div", "running-fits"), this.chosen = make("div", "chosen");
    this.root.append(this.title, this.where, this.pace, this.running, this.grid, this.chosen, this.trouble);
    this.cells = new Map(); // by the name of a fit
    this.shape = "";
    this.choice = "";
  }

  show(sweep) {
    this.sweep = sweep;
    setText(this.where, `${sweep.folders.join(", ")}: ${sweep.counts}`);
    setText(this.pace, sweep.pace);
    const failed = sweep.fits.filter(fit => fit.kind === "failed").map(fit => `failed: ${named(fit)}: ${fit.words}`);
    setLines(this.trouble, [...failed, ...sweep.broken]);
    this.layOut();
    for (const fit of sweep.fits) this.fill(this.cells.get(named(fit)), fit);
    this.showRunning();
    this.showChosen();
  }

  // A row for each p, a column for each arm, a place for each seed; made anew only where these have changed.
  layOut() {
    const { fits } = this.sweep;
    const shape = JSON.stringify(fits.map(named));
    if (shape === this.shape) return;
    this.shape = shape;
    const arms = [...new Set(fits.map(fit => fit.arm))], probs = [...new Set(fits.map(fit => fit.p))].sort((a, b) => a - b);
    const seeds = [...new Set(fits.map(fit => fit.seed))].sort((a, b) => a - b);
    const legend = make("p", "", `Each place is a fit: in an arm's column, ${seeds.length > 1 ? "seeds" : "seed"} ${seeds.length < 7 ? seeds.join(", ") : `${seeds[0]} … ${seeds.at(-1)}`}.`);
    const table = make("table", seeds.length > MANY ? "many" : ""), head = make("tr"), old = this.cells;
    head.append(make("th", "", "p"), ...arms.map(arm => make("th", "", arm)));
    table.append(head);
    this.cells = new Map();
    for (const p of probs) {
      const row = make("tr", "", make("th", "", String(p)));
      for (const arm of arms) {
        const place = make("div", "seeds"), cell = make("td", "", place);
        for (const fit of fits.filter(one => one.arm === arm && one.p === p).sort((a, b) => a.seed - b.seed)) {
          const button = old.get(named(fit)) ?? this.button(named(fit));
          this.cells.set(named(fit), button);
          place.append(button);
        }
        row.append(cell);
      }
      table.append(row);
    }
    this.grid.replaceChildren(...(fits.length ? [table, legend] : []));
  }

  button(name) {
    const button = make("button", "fit");
    button.type = "button";
    button.addEventListener("click", () => {
      this.choice = this.choice === name ? "" : name;
      this.showChosen();
    });
    return button;
  }

  fill(button, fit) {
    const said = JSON.stringify([fit.kind, fit.digest, fit.step, fit.words, quantity.value]);
    if (button.dataset.said === said) return;
    button.dataset.said = said;
    button.className = `fit ${fit.kind}`;
    button.title = `${named(fit)}: ${WORDS[fit.kind] ?? fit.kind}${fit.words ? `, ${fit.words}` : ""}`;
    button.setAttribute("aria-label", button.title);
    const share = fit.steps ? fit.step / fit.steps : 0;
    if (fit.digest && !button.closest(".many")) button.replaceChildren(picture(quantity.value, fit));
    else if (fit.kind === "running" && fit.steps) {
      const bar = make("i");
      bar.style.height = `${100 * share}%`;
      button.replaceChildren(bar, ...(button.closest(".many") ? [] : [make("b", "", `${Math.floor(100 * share)} %`)]));
    } else button.replaceChildren(MARKS[fit.kind] ?? "");
  }

  showRunning() {
    const running = this.sweep.fits.filter(fit => fit.kind === "running");
    const kept = new Map([...this.running.children].map(child => [child.dataset.fit, child]));
    this.running.replaceChildren(...running.map(fit => {
      const figure = kept.get(named(fit)) ?? make("figure");
      figure.dataset.fit = named(fit);
      const caption = make("figcaption", "", make("b", "", named(fit)));
      caption.append(`: ${fit.words}. `, make("span", "key-black", "black loss"), ", ", make("span", "key-white", "white loss"));
      figure.replaceChildren(...(fit.trace?.length ? [trace(fit, this.sweep.threshold)] : []), caption);
      return figure;
    }));
  }

  // The chosen fit's mask and landscapes, large.
  showChosen() {
    const fit = this.sweep.fits.find(one => named(one) === this.choice);
    for (const [name, button] of this.cells) button.setAttribute("aria-pressed", String(name === this.choice));
    const said = fit ? JSON.stringify([this.choice, fit.kind, fit.digest, fit.words]) : "";
    if (this.chosen.dataset.said === said) return;
    this.chosen.dataset.said = said;
    if (!fit) return this.chosen.replaceChildren();
    const line = make("p", "", this.cells.get(this.choice).title);
    const kinds = fit.digest ? ["mask", "accuracy", "loss"] : [];
    this.chosen.replaceChildren(line, ...kinds.map(kind => {
      const figure = make("figure", "", picture(kind, fit));
      figure.append(make("figcaption", "", kind === "mask" ? "mask" : `${this.sweep.split} ${kind}`));
      return figure;
    }));
  }
}

function picture(kind, fit) {
  const image = make("img");
  image.loading = "lazy";
  image.alt = `${kind} of ${named(fit)}`;
  image.src = `/${kind}/${fit.digest}.png`;
  return image;
}

let told = { sweeps: [], broken: [], note: "" };

function show() {
  const names = new Set(told.sweeps.map(sweep => sweep.name)), main = document.querySelector("main");
  for (const [name, view] of views) if (!names.has(name)) { view.root.remove(); views.delete(name); }
  for (const sweep of told.sweeps) {
    if (!views.has(sweep.name)) {
      views.set(sweep.name, new SweepView(sweep.name));
      main.append(views.get(sweep.name).root);
    }
    views.get(sweep.name).show(sweep);
  }
  let all = document.getElementById("all");
  if (!all) main.append(all = make("div"));
  all.id = "all";
  setLines(all, [...told.broken, ...(told.note ? [told.note] : [])]);
  const fits = told.sweeps.flatMap(sweep => sweep.fits), done = fits.filter(fit => fit.kind === "done").length;
  document.title = fits.length ? `${done}/${fits.length} bnbench` : "bnbench";
}

async function look() {
  try {
    const answer = await fetch("/status.json");
    if (!answer.ok) throw new Error(answer.statusText);
    told = await answer.json();
    show();
    setText(state, `as of ${new Date().toLocaleTimeString()}`);
    state.className = "";
  } catch {
    setText(state, "the server does not answer; what is shown is old");
    state.className = "trouble";
  }
  setTimeout(look, EVERY);
}

quantity.addEventListener("change", show);
look();
