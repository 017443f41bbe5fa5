"use strict";
(() => {
  const PAGE = 50; // rows on show at a time
  const NARROW = 560; // pixels below which names along axes are cut
  const FEW = 14; // characters of a name along an axis of a narrow picture
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const make = (tag, said) => {
    const element = document.createElement(tag);
    if (said !== undefined) element.textContent = said;
    return element;
  };

  // Numbers

  const number = (value) => {
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
    if (Number.isInteger(value)) return size < 10000 ? String(value) : value.toLocaleString("en");
    return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4, useGrouping: size >= 10000 });
  };
  const moment = (microseconds) => {
    const at = new Date(microseconds / 1000);
    return Number.isNaN(at.getTime()) ? number(microseconds) : at.toISOString().slice(0, 19).replace("T", " ");
  };
  const said = {
    number,
    integer: (value) => value.toLocaleString("en"),
    share: (value) => `${(100 * value).toFixed(value > 0 && value < 0.001 ? 3 : 1)}%`,
    probability: (value) => (value < 1e-99 ? "<1e-99" : value < 1e-3 ? value.toExponential(1) : value.toPrecision(2)),
    flag: (value) => (value ? "yes" : "no"),
  };

  const of_times = { value: moment, span: (value) => `${number(value)} days` };

  // Tables

  const is_time = (row, table) => table.texts[row[table.at.kind]] === "time";
  const picture = (heights, row, table) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const wide = 96 / heights.length;
    const write = is_time(row, table) ? moment : number;
    const low = row[table.at.min], high = row[table.at.max];
    const range = low == null ? "its most frequent values" : `${write(low)} to ${write(high)}`;
    svg.setAttribute("class", "picture");
    svg.setAttribute("viewBox", "0 0 96 24");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `distribution, ${range}`);
    [...heights].forEach((digit, place) => {
      const tall = (24 * parseInt(digit, 36)) / 35;
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const sizes = { x: place * wide + 0.25, y: 24 - tall, width: Math.max(wide - 0.5, 0.5), height: tall };
      for (const [name, value] of Object.entries(sizes)) bar.setAttribute(name, value);
      svg.append(bar);
    });
    return svg;
  };

  const cell = (field, row, place, table) => {
    const value = row[place];
    const head = place === table.heading;
    const made = make(head ? "th" : "td");
    if (head) made.scope = "row";
    if (value === null || value === undefined) return made;
    if (field.kind === "text") {
      made.classList.add("text");
      made.append(make("bdi", table.texts[value]));
    } else if (field.kind === "words") {
      made.classList.add("words");
      made.append(...value.map((word) => make("span", table.texts[word])));
    } else if (field.kind === "picture") {
      made.append(picture(value, row, table));
    } else {
      made.classList.add("number");
      made.dataset.value = value;
      const write = (is_time(row, table) && of_times[field.kind]) || said[field.kind] || number;
      made.textContent = write(value);
      if (field.kind === "flag" && value) made.classList.add("yes");
    }
    return made;
  };

  const list = (element) => {
    const table = read(element.dataset.listing);
    const fields = table.fields;
    table.at = Object.fromEntries(fields.map((field, place) => [field.name, place]));
    const names = ["column", "feature", "feature_a", ...fields.filter((field) => field.kind === "text").map((field) => field.name)];
    table.heading = names.map((name) => table.at[name]).find((place) => place !== undefined);
    const words = fields.map((field, place) => [field.kind, place]).filter(([kind]) => kind === "text" || kind === "words");
    const lower = table.texts.map((text) => text.toLowerCase());
    const [before, after] = element.querySelectorAll("[data-turn]");
    const filter = element.querySelector("input");
    const where = element.querySelector(".where");
    const body = element.querySelector("tbody");
    let order = table.rows.map((_, place) => place);
    let kept = order;
    let first = 0;

    const show = () => {
      first = Math.min(first, Math.max(0, Math.floor((kept.length - 1) / PAGE) * PAGE));
      const some = kept.slice(first, first + PAGE);
      body.replaceChildren(...some.map((place) => {
        const line = make("tr");
        line.append(...fields.map((field, index) => cell(field, table.rows[place], index, table)));
        return line;
      }));
      where.textContent = some.length ? `${(first + 1).toLocaleString("en")} to ${(first + some.length).toLocaleString("en")} of ${kept.length.toLocaleString("en")}` : "no such row";
      before.disabled = first === 0;
      after.disabled = first + PAGE >= kept.length;
      before.hidden = after.hidden = kept.length <= PAGE;
    };
    const sift = () => {
      const wanted = filter.value.trim().toLowerCase();
      const hit = lower.map((text) => text.includes(wanted));
      kept = wanted === "" ? order : order.filter((place) => words.some(([kind, index]) => {
        const value = table.rows[place][index];
        return value !== null && (kind === "text" ? hit[value] : value.some((word) => hit[word]));
      }));
      show();
    };
    const sort = (head, index) => {
      const falling = head.getAttribute("aria-sort") !== "descending" && fields[index].kind !== "text" || head.getAttribute("aria-sort") === "ascending";
      const sign = falling ? -1 : 1;
      const key = { text: (value) => lower[value], words: (value) => value.length || null }[fields[index].kind] || ((value) => value);
      const keys = table.rows.map((row) => (row[index] === null ? null : key(row[index])));
      order = [...order].sort((a, b) => {
        if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null);
        return keys[a] < keys[b] ? -sign : keys[a] > keys[b] ? sign : a - b;
      });
      for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      first = 0;
      sift();
    };

    const heads = make("tr");
    fields.forEach((field, index) => {
      const head = make("th");
      head.scope = "col";
      if (!["text", "words", "picture"].includes(field.kind)) head.className = "number";
      if (field.kind === "picture") {
        head.textContent = field.title;
      } else {
        const button = make("button", field.title);
        button.type = "button";
        button.addEventListener("click", () => sort(head, index));
        head.append(button);
      }
      if (field.said) head.title = field.said;
      heads.append(head);
    });
    element.querySelector("thead").append(heads);
    element.querySelector(".tools").hidden = table.rows.length <= 5;
    filter.addEventListener("input", () => { first = 0; sift(); });
    before.addEventListener("click", () => { first = Math.max(0, first - PAGE); show(); });
    after.addEventListener("click", () => { first += PAGE; show(); });
    show();
  };

  // Pictures

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const models = (document_) => [...document_.all_models || document_._all_models.values()];

  const fit = (element, drawn) => {
    const style = getComputedStyle(document.documentElement);
    const cut = (name) => (typeof name === "string" && name.length > FEW ? `${name.slice(0, FEW - 1)}…` : name);
    for (const model of models(drawn)) {
      // Of its scale alone Bokeh does not ask the page for colours.
      if (model.type === "ColorBar") model.major_label_text_color = model.title_text_color = style.getPropertyValue("--ink").trim();
    }
    if (element.clientWidth >= NARROW) return;
    for (const model of models(drawn)) {
      for (const tag of model.tags) if (tag.narrow) model.setv(tag.narrow);
      if (model.type === "Label") model.text = cut(model.text);
      if (model.type === "Figure") model.min_border_left = Math.min(model.min_border_left || 0, 96);
      if (!model.major_label_overrides || !model.major_label_overrides.size) continue;
      model.major_label_overrides = new Map([...model.major_label_overrides].map(([place, name]) => [place, cut(name)]));
    }
  };

  // A square whose cells are read by pointer and keys: a figure with a line .cell, a box .cells, and names of its sides.
  const read_cells = (element, drawn) => {
    const box = element.closest(".cells");
    if (!box) return;
    const figure = box.closest("figure");
    const names = read(`${element.id}-names`);
    const cells = drawn.get_model_by_name("cells").get_column("image")[0];
    const cursor = drawn.get_model_by_name("cursor");
    const line = figure.querySelector(".cell");
    const unit = element.id && figure.dataset.unit ? ` ${figure.dataset.unit}` : "";
    const at = figure.at || (figure.at = [0, 0]);
    const tell = (x, y) => {
      at[0] = Math.min(Math.max(x, 0), names.length - 1);
      at[1] = Math.min(Math.max(y, 0), names.length - 1);
      const value = cells[at[1] * names.length + at[0]];
      cursor.data = { x: [at[0]], y: [at[1]] };
      const what = at[0] === at[1] ? "the column itself" : Number.isFinite(value) ? number(Number(value.toPrecision(6))) + unit : "no value";
      line.replaceChildren(make("bdi", names[at[1]]), " and ", make("bdi", names[at[0]]), `: ${what}`);
    };
    const square = models(drawn).find((model) => model.type === "Figure" && model.renderers.some((each) => each.glyph.type === "Image"));
    square.on_event("mousemove", (event) => {
      const x = Math.round(event.x), y = Math.round(event.y);
      if (x >= 0 && y >= 0 && x < names.length && y < names.length && (x !== at[0] || y !== at[1])) tell(x, y);
    });
    const zoom = (factor) => {
      const count = names.length;
      const span = Math.min(count, Math.max(3, (square.x_range.end - square.x_range.start) * factor));
      const [left, top] = at.map((place) => Math.min(Math.max(place - span / 2, -0.5), count - 0.5 - span));
      square.x_range.setv({ start: left, end: left + span });
      square.y_range.setv({ start: top + span, end: top }); // rows go down
    };
    Object.assign(figure, { tell, zoom });
    for (const model of models(drawn)) {
      // A finger that drags scrolls the page.
      if (model.type === "BoxZoomTool") model.active = !matchMedia("(pointer: coarse)").matches;
    }
    if (figure.listens) return;
    figure.listens = true;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    box.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      if (!step || event.target !== event.currentTarget) return;
      event.preventDefault();
      figure.tell(at[0] + step[0], at[1] + step[1]);
    });
    for (const button of figure.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => figure.zoom(Number(button.dataset.zoom) || Infinity));
    }
  };

  const draw = async (element) => {
    element.replaceChildren();
    const views = await Bokeh.embed.embed_item(read(element.dataset.plot), element.id);
    const drawn = [...views][0].model.document;
    const colours = drawn.get_model_by_name("colours");
    if (colours) colours.palette = colours.tags[dark.matches ? 1 : 0];
    element.classList.toggle("dark", dark.matches); // for print, which comes too suddenly to draw anew
    fit(element, drawn);
    read_cells(element, drawn);
    element.dataset.drawn = "yes";
  };
  const seen = (element) => !element.closest("[hidden]");
  let drawing = Promise.resolve(); // one at a time, in order
  const draw_all = () => {
    delete document.documentElement.dataset.drawn;
    drawing = drawing.then(async () => {
      for (const element of document.querySelectorAll("[data-plot]")) {
        if (!seen(element) || element.dataset.drawn) continue;
        await draw(element);
        await new Promise((done) => setTimeout(done));
      }
      document.documentElement.dataset.drawn = "yes";
    });
  };
  const again = () => {
    for (const element of document.querySelectorAll("[data-plot]")) delete element.dataset.drawn;
    draw_all();
  };

  document.querySelectorAll("[data-listing]").forEach(list);
  for (const chooser of document.querySelectorAll("select[data-shows]")) {
    chooser.addEventListener("change", () => {
      for (const option of chooser.options) document.getElementById(option.value).closest("figure").hidden = !option.selected;
      draw_all();
    });
  }
  dark.addEventListener("change", again);
  draw_all();
})();
