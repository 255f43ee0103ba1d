// Draws the landscapes of each section: a canvas for the mask and for every arm, one pixel of it per point of the plane.
"use strict";

const GREY = [154, 154, 160]; // no number, as in figure 3
const MASK = [[214, 214, 218], [62, 62, 68], [255, 255, 255], [0, 0, 0]]; // white and black, skipped then trained
const MOST_PANELS = 4; // beside each other on a wide screen
const GAP = "−"; // the choice that shows one arm minus another
const GAP_COLOURS = Uint8Array.from({ length: 3 * 257 }, (_, place) => { // red below zero, white, blue above
  const share = Math.floor(place / 3) / 128 - 1, full = share < 0 ? [178, 24, 43] : [33, 102, 172];
  return 255 + Math.abs(share) * (full[place % 3] - 255);
});
const NEAR = 14; // pixels of the screen between a click and a point of figure 4
const PLACES = ["test_loss", "test_accuracy", "train_loss", "train_accuracy"]; // the order of a fit's four strings

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const codes = text => new Uint16Array(bytes(text).buffer); // little endian, as every browser's machine is

function make(tag, content = "", className = "") {
  const element = document.createElement(tag);
  element.append(content);
  if (className) element.className = className;
  return element;
}

// An arm's name beside its colour: some are too pale for letters.
function named(arm) {
  const name = make("b", arm.name, "arm");
  name.style.setProperty("--arm", `var(${arm.colour})`);
  return name;
}

function number(value) {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return "∞";
  if (value !== 0 && (value < 0.001 || value >= 10000)) return value.toExponential(1).replace("-", "−");
  return value.toFixed(value >= 100 ? 1 : value >= 10 ? 2 : 3).replace("-", "−");
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

class Explorer {
  constructor(root, data) {
    this.root = root;
    this.data = data;
    this.pixel = null; // [row, column] under the pointer or the arrow keys
    this.files = new Map(); // of a large sweep, those asked for: "coming", "here" or "missing"
    this.find = selector => root.querySelector(selector);
    const slider = this.find("[name=p]");
    slider.max = data.probabilities.length - 1;
    slider.value = data.probabilities.indexOf(data.start.p);
    slider.disabled = data.probabilities.length < 2;
    const arms = data.arms.length > 1 ? [new Option("all, side by side", "")] : [];
    const [first, second] = data.arms; // the gap of the first two, as the page compares them
    const gap = second ? [new Option(`${first.name} − ${second.name}`, GAP)] : [];
    this.find("[name=arm]").append(...arms, ...data.arms.map(arm => new Option(arm.name, arm.name)), ...gap);
    this.find("[name=seed]").append(...data.seeds.map(seed => new Option(seed)));
    this.find("[name=seed]").selectedIndex = data.seeds.indexOf(data.start.seed);
    this.readAddress();
    this.listen();
    root.hidden = false;
    this.draw();
  }

  // What is shown, as the address says it: #in=quick&p=0.5&seed=2&arm=&quantity=loss&split=test&scale=log
  get address() {
    const state = { in: this.name, p: this.p, seed: this.seed, arm: this.find("[name=arm]").value };
    for (const name of ["quantity", "split", "scale"]) state[name] = this.choice(name);
    return `#${new URLSearchParams(state)}`;
  }

  get name() { return this.root.id.replace(/-explorer-body$/, ""); }

  // Show what the address asks for, as far as there is such a thing.
  readAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    if ((asked.get("in") ?? this.name) !== this.name) return false;
    const p = this.data.probabilities.indexOf(Number(asked.get("p")));
    if (p >= 0) this.find("[name=p]").value = p;
    const seed = this.data.seeds.indexOf(Number(asked.get("seed")));
    if (seed >= 0) this.find("[name=seed]").selectedIndex = seed;
    const arm = this.find("[name=arm]"), wanted = asked.get("arm");
    if ([...arm.options].some(option => option.value === wanted)) arm.value = wanted;
    for (const name of ["quantity", "split", "scale"]) {
      for (const radio of this.root.querySelectorAll(`[data-name=${name}]`)) if (radio.value === asked.get(name)) radio.checked = true;
    }
    return p >= 0;
  }

  // Show the landscapes of a point of figure 4.
  open(p, seed) {
    this.find("[name=p]").value = this.data.probabilities.indexOf(p);
    this.find("[name=seed]").selectedIndex = this.data.seeds.indexOf(seed);
    this.change();
    document.getElementById(`${this.name}-explorer`).scrollIntoView();
  }

  change() {
    history.replaceState(null, "", this.address);
    this.draw();
  }

  get p() { return this.data.probabilities[this.find("[name=p]").value]; }
  get seed() { return this.data.seeds[this.find("[name=seed]").selectedIndex]; }
  choice(name) { return this.find(`[data-name=${name}]:checked`).value; }
  get key() { return `${this.p}|${this.seed}`; }

  get arms() {
    const chosen = this.find("[name=arm]").value;
    return this.data.arms.filter(arm => !chosen || chosen === GAP || arm.name === chosen).slice(0, chosen === GAP ? 2 : undefined);
  }

  // One fit's values of a quantity on one kind of images; undefined where the fit is missing.
  values(arm, quantity, split = this.choice("split")) {
    const fit = this.data.fits[`${this.key}|${arm.name}`];
    if (!fit) return undefined;
    const { leastLoss, stepsPerDecade, accuracySteps, infinite, missing } = this.data.codes;
    const decode = quantity === "loss" ? code => leastLoss * 10 ** (code / stepsPerDecade) : code => code / accuracySteps;
    return Array.from(codes(fit[PLACES.indexOf(`${split}_${quantity}`)]), code =>
      code === missing ? NaN : code === infinite ? Infinity : decode(code));
  }

  // Of a large sweep the pixels lie in files beside the page: ask for the one that holds what is shown.
  fetchPixels() {
    const file = this.data.files?.[this.key];
    if (!file || this.files.has(file)) return;
    this.files.set(file, "coming");
    const script = make("script");
    script.addEventListener("load", () => { this.files.set(file, "here"); this.draw(); });
    script.addEventListener("error", () => { this.files.set(file, "missing"); this.draw(); });
    script.src = `landscapes/${file}.js`;
    document.head.append(script);
  }

  take(part) {
    Object.assign(this.data.masks, part.masks);
    Object.assign(this.data.fits, part.fits);
  }

  // What stands where there is no landscape.
  get absence() {
    const file = this.data.files?.[this.key], state = this.files.get(file);
    if (state === "coming") return "loading …";
    if (state === "missing") return `landscapes/${file}.js is not beside this page`;
    return `no fit at p = ${this.p}, seed ${this.seed}`;
  }

  get showsGap() { return this.find("[name=arm]").value === GAP; }

  // "log" or "linear" for a loss, "accuracy" for an accuracy.
  get scale() { return this.choice("quantity") !== "loss" ? "accuracy" : this.showsGap ? "linear" : this.choice("scale"); }

  // The ends of the colour bar; a gap's lie as far below zero as above.
  get ends() {
    const [low, high] = this.data.scales[this.scale];
    return this.showsGap ? [-high, high] : [low, high];
  }

  // Where a value lies on the colour bar, 0 to 1.
  place(value) {
    const [low, high] = this.ends;
    const share = this.scale === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return Math.min(Math.max(share, 0), 1);
  }

  colour(value) {
    if (Number.isNaN(value)) return GREY;
    const table = this.table;
    const start = 3 * Math.round(this.place(value) * (table.length / 3 - 1));
    return table.subarray(start, start + 3);
  }

  draw() {
    this.fetchPixels();
    const quantity = this.choice("quantity");
    this.table = this.showsGap ? GAP_COLOURS : bytes(this.data.colours[quantity]);
    const mask = this.data.masks[this.key];
    this.mask = mask && bytes(mask);
    this.shown = this.arms.map(arm => ({ arm, loss: this.values(arm, "loss"), accuracy: this.values(arm, "accuracy") }));
    this.find("output").textContent = `= ${this.p}`;
    this.find("[name=p]").setAttribute("aria-valuetext", `p = ${this.p}`);
    for (const radio of this.root.querySelectorAll("[data-name=scale]")) radio.closest("fieldset").disabled = quantity !== "loss" || this.showsGap;
    const panels = this.showsGap ? [this.gapPanel(quantity)] : this.shown.map(({ arm, ...fit }) => {
      const caption = make("figcaption", named(arm));
      return this.panel(caption, fit[quantity], value => this.colour(value));
    });
    const caption = make("figcaption", make("b", "mask"));
    for (const old of this.root.querySelectorAll(".landscapes figure")) old.remove(); // the live line stays where it is
    this.find(".landscapes").prepend(this.panel(caption, this.mask, code => MASK[code]), ...panels);
    this.find(".landscapes").style.setProperty("--panels", Math.min(panels.length + 1, MOST_PANELS));
    this.drawBar();
    this.fillTable();
    this.point();
  }

  // The gap of the first two arms at every pixel; undefined where a fit is missing.
  gapPanel(quantity) {
    const [first, second] = this.shown;
    const caption = make("figcaption", make("b", `${first.arm.name} − ${second.arm.name}`));
    const values = first[quantity] && second[quantity] && first[quantity].map((value, place) => value - second[quantity][place]);
    return this.panel(caption, values, value => this.colour(value));
  }

  panel(caption, values, colour) {
    const { rows, columns } = this.data;
    const figure = make("figure", caption), frame = make("div", "", "frame");
    figure.append(frame);
    if (!values) {
      const nothing = make("div", this.absence, "nothing");
      nothing.style.aspectRatio = `${columns} / ${rows}`;
      frame.append(nothing);
      return figure;
    }
    const canvas = make("canvas"), picture = new ImageData(columns, rows);
    canvas.width = columns;
    canvas.height = rows;
    values.forEach((value, place) => picture.data.set([...colour(value), 255], 4 * place));
    canvas.getContext("2d").putImageData(picture, 0, 0);
    const cursor = make("div", "", "cursor");
    cursor.hidden = true;
    cursor.style.width = `${100 / columns}%`;
    cursor.style.height = `${100 / rows}%`;
    frame.append(canvas, cursor);
    return figure;
  }

  drawBar() {
    const canvas = this.find(".bar canvas"), picture = new ImageData(256, 1);
    for (let step = 0; step < 256; step += 1) picture.data.set([...this.table.subarray(3 * step, 3 * step + 3), 255], 4 * step);
    canvas.getContext("2d").putImageData(picture, 0, 0);
    const quantity = this.choice("quantity"), split = this.choice("split") === "train" ? "train" : this.data.split;
    const [low, high] = this.ends;
    const ticks = this.ticks(low, high).map(value => this.tick(value, String(Number(value.toPrecision(3))).replace("-", "−")));
    if (quantity === "loss" && !this.showsGap) ticks.push(this.tick(this.data.threshold, `threshold ${this.data.threshold}`, "threshold"));
    this.find(".ticks").replaceChildren(...ticks);
    const ends = { log: ", log scale, the same for all fits; 1 % of pixels lie beyond either end",
      linear: `, linear scale, the same for all fits; losses above ${high} have the colour of ${high}`,
      accuracy: ", the same for all fits" };
    const gap = `, ${this.data.arms[0].name} − ${this.data.arms[1]?.name}, the same scale for all fits; white is no difference`;
    this.find(".explorer > .note").textContent = `Colours: ${split} ${quantity}${this.showsGap ? gap : ends[this.scale]}.` +
      (this.mask?.some(code => code < 2) ? " Softer tones of the mask: not trained on, since all neighbours have the same colour." : "");
  }

  ticks(low, high) {
    const log = this.scale === "log";
    const step = [1, 2, 5].flatMap(digit => [-3, -2, -1, 0, 1, 2, 3, 4].map(power => digit * 10 ** power))
      .sort((a, b) => a - b).find(size => (high - low) / size <= 6) || high - low;
    const round = log
      ? [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5].flatMap(power => [1, 2, 5].map(digit => digit * 10 ** power))
      : Array.from({ length: 8 }, (_, place) => (Math.ceil(low / step) + place) * step);
    const inside = round.filter(value => value > low && value < high && this.place(value) > 0.12 && this.place(value) < 0.88);
    const apart = [];
    for (const value of inside) {
      if (!apart.length || this.place(value) - this.place(apart.at(-1)) > 0.07) apart.push(value);
    }
    return [low, ...apart, high];
  }

  tick(value, text, className = "") {
    const tick = make("span", text, className), place = this.place(value);
    tick.style.left = `${100 * place}%`;
    tick.style.setProperty("--place", `${100 * place}%`);
    if (!className && (place === 0 || place === 1)) tick.className = place ? "last" : "first";
    return tick;
  }

  fillTable() {
    const heads = ["arm", "black pixels", "white pixels", "black accuracy", "white accuracy", "difference",
      "black loss", "white loss", "over the threshold"];
    const row = (tag, cells) => {
      const line = make("tr");
      line.append(...cells.map((text, place) => make(tag, text, place ? "number" : "")));
      return line;
    };
    const head = row("th", heads);
    for (const cell of head.children) cell.scope = "col";
    this.find(".chosen thead").replaceChildren(head);
    this.find(".chosen tbody").replaceChildren(...this.shown.map(({ arm, loss, accuracy }) => {
      if (!loss) return row("td", [arm.name, ...heads.slice(1).map(() => "–")]);
      const of = (values, black) => values.filter((_, place) => (this.mask[place] & 1) === black);
      const black = mean(of(accuracy, 1)), white = mean(of(accuracy, 0)), whiteLoss = of(loss, 0);
      const over = mean(whiteLoss.map(value => Number(!(value < this.data.threshold))));
      const means = [black, white, black - white, mean(of(loss, 1)), mean(whiteLoss), over];
      return row("td", [arm.name, of(loss, 1).length, whiteLoss.length, ...means.map(number)]);
    }));
  }

  // Show one pixel in words, and mark it in every picture.
  point() {
    const line = this.find(".pixel");
    for (const cursor of this.root.querySelectorAll(".cursor")) {
      cursor.hidden = !this.pixel;
      if (!this.pixel) continue;
      cursor.style.top = `${100 * this.pixel[0] / this.data.rows}%`;
      cursor.style.left = `${100 * this.pixel[1] / this.data.columns}%`;
    }
    if (!this.pixel || !this.mask) {
      line.textContent = "Point at a pixel, or move over them with the arrow keys, for its loss and accuracy.";
      return;
    }
    const [row, column] = this.pixel, place = row * this.data.columns + column, code = this.mask[place];
    const where = `Row ${row}, column ${column}: ${code & 1 ? "black" : "white"}, ${code & 2 ? "trained" : "not trained"}. `;
    line.replaceChildren(make("span", where, "value"), ...this.shown.filter(fit => fit.loss).map(({ arm, loss, accuracy }) => {
      const value = make("span", named(arm), "value");
      value.append(` loss ${number(loss[place])}, accuracy ${number(accuracy[place])} `);
      return value;
    }));
  }

  listen() {
    const pictures = this.find(".landscapes");
    this.find(".controls").addEventListener("input", () => this.change());
    addEventListener("hashchange", () => { if (this.readAddress()) this.draw(); });
    const hover = event => {
      const canvas = event.target.closest(".frame")?.querySelector("canvas");
      if (!canvas) return;
      const box = canvas.getBoundingClientRect(), { rows, columns } = this.data;
      this.move(Math.floor((event.clientY - box.top) / box.height * rows), Math.floor((event.clientX - box.left) / box.width * columns));
    };
    pictures.addEventListener("pointermove", hover);
    pictures.addEventListener("pointerdown", hover);
    pictures.addEventListener("keydown", event => {
      const [row, column] = this.pixel || [0, -1], last = this.data.columns - 1;
      const targets = {
        ArrowUp: [row - 1, Math.max(column, 0)], ArrowDown: [row + (this.pixel ? 1 : 0), Math.max(column, 0)],
        ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: [row, 0], End: [row, last],
      };
      if (!targets[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.move(...targets[event.key]);
    });
  }

  move(row, column) {
    const within = (value, size) => Math.min(Math.max(value, 0), size - 1);
    const pixel = [within(row, this.data.rows), within(column, this.data.columns)];
    if (this.pixel && pixel[0] === this.pixel[0] && pixel[1] === this.pixel[1]) return;
    this.pixel = pixel;
    this.point();
  }
}

// A point of figure 4 is a fit, and its name says which: a click nearby opens its landscapes.
function openFrom(figure, explorer) {
  const points = [...figure.querySelectorAll("[id*='-fit-']")].map(group => {
    const [, p, seed] = group.id.match(/-fit-[a-z_]+-\d+-([\d.e-]+)-(\d+)$/);
    return { group, p: Number(p), seed: Number(seed) };
  });
  const nearest = event => points.map(point => {
    const box = point.group.getBoundingClientRect();
    return { ...point, far: Math.hypot(event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2) };
  }).sort((one, other) => one.far - other.far).find(point => point.far < NEAR);
  figure.addEventListener("pointermove", event => figure.classList.toggle("opens", Boolean(nearest(event))));
  figure.addEventListener("click", event => {
    const point = nearest(event);
    if (point) explorer.open(point.p, point.seed);
  });
}

const explorers = [];

// What a file of pixels calls.
function takeLandscapes(part) {
  for (const explorer of explorers) explorer.take(part);
}

for (const root of document.querySelectorAll(".explorer")) {
  const explorer = new Explorer(root, JSON.parse(document.getElementById(root.id.replace(/body$/, "data")).textContent));
  const figure = document.querySelector(`#${CSS.escape(`${explorer.name}-figure4`)} svg`);
  if (figure) openFrom(figure, explorer);
  explorers.push(explorer);
}
