"use strict";
// The page's own script. What agents and judges wrote gets into the page as text alone
// (textContent): nothing here makes HTML of a string.
(() => {
  const byId = (id) => document.getElementById(id);
  const theme = byId("theme");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  });
  // After the first rows are painted: milliseconds since the page was asked for.
  const ready = () => requestAnimationFrame(() => setTimeout(() => {
    document.documentElement.dataset.ready = performance.now().toFixed(0);
  }));
  if (!byId("data")) {
    ready(); // the page of several agents has no runs
    return;
  }

  const data = JSON.parse(byId("data").textContent);
  const runs = data.runs;
  const total = runs.number.length;
  const HEIGHT = 31; // of a row, as page.css has it
  const SIGNS = { passed: "✓", failed: "×" };

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const append = (parent, ...children) => {
    parent.append(...children.filter((child) => child !== null));
    return parent;
  };

  const folded = (title, ...content) => append(element("details"), element("summary", title), ...content);

  // -- one run ------------------------------------------------------------------------------------

  const subtest = (run) => data.subtests[runs.subtest[run]];
  const tier = (run) => data.tiers[subtest(run).tier];
  const name = (run) => `run_${String(runs.number[run]).padStart(2, "0")}`;
  const node = (run) => `${tier(run)}::${subtest(run).id}::${name(run)}`;
  const folder = (run) => data.paths[run] ?? `${subtest(run).path}/${name(run)}`;
  const link = (path) => `./${path.split("/").map(encodeURIComponent).join("/")}`;
  const word = (run) => runs.outcome[run];
  const kind = (run) => (word(run) in SIGNS ? word(run) : "none");
  const sign = (run) => SIGNS[word(run)] ?? "!";

  // As rounding.py does: half up, without what floats add behind the twelfth digit.
  const rounded = (value, digits) => {
    const whole = Math.round(Number((Math.abs(value) * 10 ** digits).toPrecision(12)));
    return ((whole && Math.sign(value) * whole) / 10 ** digits).toFixed(digits);
  };
  const fixed = (value, digits) => (value === null ? "–" : rounded(value, digits));
  const dollars = (value) => (value === null ? "–" : `$${rounded(value, 4)}`);
  const whole = (value) => (value === null ? "–" : value.toLocaleString("en-US"));

  const byNode = new Map();
  for (let run = 0; run < total; run++) byNode.set(node(run), run);

  // -- the table: only the rows in sight are there --------------------------------------------------

  const COLUMNS = [
    ["tier", tier, tier],
    ["subtest", (run) => subtest(run).id, (run) => subtest(run).id],
    ["run", (run) => runs.number[run], (run) => name(run) + (runs.attempts[run] > 1 ? " ↻" : "")],
    ["outcome", word, (run) => `${sign(run)} ${word(run)}`],
    ["score", (run) => runs.score[run], (run) => fixed(runs.score[run], 3)],
    ["grade", (run) => runs.grade[run], (run) => runs.grade[run] ?? "–"],
    ["cost", (run) => runs.cost[run], (run) => dollars(runs.cost[run])],
    ["seconds", (run) => runs.seconds[run], (run) => fixed(runs.seconds[run], 1)],
    ["tokens", (run) => runs.tokens[run], (run) => whole(runs.tokens[run])],
  ];
  const texts = Array.from({ length: total }, (_, run) =>
    [node(run), tier(run), subtest(run).id, name(run), word(run), `grade ${runs.grade[run] ?? ""}`]
      .join(" ").toLowerCase());
  const scroll = byId("scroll");
  const rows = byId("rows");
  let order = Array.from({ length: total }, (_, run) => run);
  let sorted = { column: null, down: false };
  let active = 0; // a place in `order`

  const heads = COLUMNS.map(([title], column) => {
    const head = element("th", null, { scope: "col", "aria-sort": "none" });
    const button = element("button", title, { type: "button" });
    button.addEventListener("click", () => sort(column));
    return append(head, button);
  });
  append(byId("heads"), ...heads);

  const gap = (count) => {
    const row = element("tr", null, { class: "gap", "aria-hidden": "true" });
    const cell = element("td", null, { colspan: COLUMNS.length });
    cell.style.height = `${count * HEIGHT}px`;
    return append(row, cell);
  };

  const line = (place) => {
    const run = order[place];
    const row = element("tr", null, { "data-run": run, "aria-rowindex": place + 2 });
    row.classList.toggle("active", place === active);
    COLUMNS.forEach(([title, , text], column) => {
      const cell = element("td");
      if (column === 2) append(cell, element("a", text(run), { href: `#${node(run)}`, tabindex: -1 }));
      else append(cell, element("bdi", text(run), title === "subtest" ? { title: text(run) } : {}));
      if (title === "outcome") cell.className = kind(run);
      append(row, cell);
    });
    return row;
  };

  let first = -1;
  const draw = (again = false, all = false) => {
    const room = Math.ceil(scroll.clientHeight / HEIGHT) + 20;
    const from = all ? 0 : Math.max(0, Math.floor(scroll.scrollTop / HEIGHT) - 10);
    if (from === first && !again) return;
    first = from;
    const to = Math.min(order.length, all ? 2000 : from + room);
    const lines = [];
    for (let place = from; place < to; place++) lines.push(line(place));
    rows.replaceChildren(gap(from), ...lines, gap(order.length - to));
  };

  const select = () => {
    const wanted = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const inTier = byId("tier").value;
    const ending = byId("outcome").value;
    order = [];
    for (let run = 0; run < total; run++) {
      if (inTier && tier(run) !== inTier) continue;
      if (ending && word(run) !== ending) continue;
      if (wanted.every((part) => texts[run].includes(part))) order.push(run);
    }
    if (sorted.column !== null) {
      const key = COLUMNS[sorted.column][1];
      const sense = sorted.down ? -1 : 1;
      order.sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        if (a === null || b === null) return (a === null) - (b === null) || one - other;
        return (a < b ? -sense : a > b ? sense : 0) || one - other;
      });
    }
    active = 0;
    scroll.scrollTop = 0;
    byId("table").setAttribute("aria-rowcount", order.length + 1);
    byId("count").textContent = `${whole(order.length)} of ${whole(total)} runs`;
    draw(true);
  };

  const sort = (column) => {
    const down = sorted.column === column ? !sorted.down : false;
    sorted = { column, down };
    heads.forEach((head, place) => {
      const mine = place === column;
      head.setAttribute("aria-sort", mine ? (down ? "descending" : "ascending") : "none");
      head.firstChild.textContent = COLUMNS[place][0] + (mine ? (down ? " ▼" : " ▲") : "");
    });
    select();
  };

  const move = (to) => {
    active = Math.max(0, Math.min(order.length - 1, to));
    const top = active * HEIGHT;
    const room = scroll.clientHeight - 2 * HEIGHT;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    if (top > scroll.scrollTop + room) scroll.scrollTop = top - room;
    draw(true);
  };

  const options = (list, values) => append(list, ...values.map((value) => element("option", value)));
  options(byId("tier"), data.tiers);
  options(byId("outcome"), [...new Set(runs.outcome)].sort());
  byId("filter").addEventListener("input", select);
  byId("filter").addEventListener("reset", () => setTimeout(select));
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  scroll.addEventListener("scroll", () => draw(), { passive: true });
  scroll.addEventListener("keydown", (event) => {
    const page = Math.floor(scroll.clientHeight / HEIGHT) - 2;
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -total, End: total };
    if (event.key in steps) move(active + steps[event.key]);
    else if (event.key === "Enter" && event.target === scroll && order.length) go(order[active]);
    else return;
    event.preventDefault();
  });
  rows.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-run]");
    if (!row) return;
    event.preventDefault();
    active = order.indexOf(Number(row.dataset.run));
    scroll.focus({ preventScroll: true });
    draw(true);
    go(Number(row.dataset.run));
  });

  // -- every run at a glance ------------------------------------------------------------------------

  const titles = data.subtests.map((one) => `${data.tiers[one.tier]}/${one.id}`);
  const cells = () => {
    const table = element("table");
    const bySubtest = data.subtests.map(() => []);
    for (let run = 0; run < total; run++) bySubtest[runs.subtest[run]].push(run);
    data.subtests.forEach((one, place) => {
      const row = append(element("tr"), append(element("th", null, { scope: "row" }),
        element("bdi", titles[place], { title: titles[place] })));
      for (const run of bySubtest[place]) {
        const text = (runs.grade[run] ?? "!") + (word(run) === "failed" ? "×" : "");
        const cell = element("a", text, {
          href: `#${node(run)}`, tabindex: -1, class: kind(run) === "none" ? "error" : "",
          title: `${node(run)}: ${word(run)} ${fixed(runs.score[run], 3)}`,
        });
        const score = runs.score[run];
        if (score !== null) cell.style.background = `rgba(var(--mark), ${0.05 + 0.4 * score})`;
        append(row, append(element("td"), cell));
      }
      append(table, row);
    });
    byId("cells").replaceChildren(table);
  };
  const watch = new IntersectionObserver((seen) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    watch.disconnect();
    cells();
  }, { rootMargin: "200px" });
  watch.observe(byId("map"));

  // -- two subtests ---------------------------------------------------------------------------------

  const choose = (list, place) => {
    append(list, ...titles.map((title, at) => element("option", title, { value: at })));
    list.value = Math.min(place, titles.length - 1);
  };
  const beside = () => {
    const both = [byId("one").value, byId("other").value].map(Number);
    const row = (title, texts, tag = "td") => append(element("tr"), element("th", title, { scope: "row" }),
      ...texts.map((text) => append(element(tag), text instanceof Node ? text : element("bdi", text))));
    const lines = data.figures.map((title, at) => row(title, both.map((s) => data.subtests[s].figures[at])));
    const lists = both.map((s) => order_of(s));
    const longest = Math.max(0, ...lists.map((list) => list.length));
    const details = [];
    for (let at = 0; at < Math.min(longest, 200); at++) {
      details.push(row(`run ${at + 1}`, lists.map((list) => (at < list.length
        ? element("a", `${sign(list[at])} ${fixed(runs.score[list[at]], 3)}  ${dollars(runs.cost[list[at]])}`,
          { href: `#${node(list[at])}` }) : "–"))));
    }
    byId("beside").replaceChildren(append(element("table"),
      row("", both.map((s) => titles[s]), "th"), ...lines),
      ...[difference(...both), folded("Run by run", append(element("table"), ...details))].filter(Boolean));
  };
  const difference = (one, other) => {
    if (one === other) return null;
    const pair = data.pairs.find(([a, b]) => (a === one && b === other) || (a === other && b === one));
    if (!pair) {
      return element("p", "How far apart they are is not in this file: one has no verdict, or there are too many "
        + `pairs. scylla compare DIR --between '${titles[one]}' '${titles[other]}' tells.`);
    }
    const [a, b, ...said] = pair;
    const lines = ["mean score", "pass rate", "mean cost"].map((figure, at) => append(element("tr"),
      element("th", figure, { scope: "row" }), append(element("td"), element("bdi", said[at]))));
    return append(element("table", null, { class: "words difference" }),
      element("caption", `Difference: ${titles[a]} less ${titles[b]}`), ...lines);
  };
  const order_of = (wanted) => {
    const found = [];
    for (let run = 0; run < total; run++) if (runs.subtest[run] === wanted) found.push(run);
    return found;
  };
  if (titles.length) {
    choose(byId("one"), 0);
    choose(byId("other"), 1);
    byId("two").addEventListener("input", beside);
    beside();
  }

  // -- the panel of a run ---------------------------------------------------------------------------

  const panel = byId("panel");
  const unpacked = new Map();
  const unpack = async (chunk) => {
    if (!unpacked.has(chunk)) {
      const bytes = Uint8Array.from(atob(byId(`chunk-${chunk}`).textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(chunk, JSON.parse(await new Response(stream).text()));
    }
    return unpacked.get(chunk);
  };

  const part = (title, ...content) => [element("h3", title), ...content];
  const text = (value) => element("pre", value);

  const patch = (value) => {
    const kinds = { "+": "add", "-": "del", "@": "at" };
    const block = element("pre", null, { class: "patch" });
    for (const one of value.split("\n")) {
      const file = /^(diff|index|\+\+\+|---|new file|deleted file) /.test(one);
      append(block, element("span", one, { class: file ? "file" : kinds[one[0]] ?? "" }));
    }
    return block;
  };

  const grid = (head, lines) => append(element("div", null, { class: "wide", tabindex: 0 }), append(element("table", null, { class: "words" }),
    append(element("thead"), append(element("tr"), ...head.map((one) => element("th", one, { scope: "col" })))),
    append(element("tbody"), ...lines.map((one) => append(element("tr"),
      ...one.map((cell) => append(element("td"), element("bdi", cell))))))));

  const turn = (one, place) => append(element("div", null, { class: "turn" }),
    element("small", `${place + 1}${one.agent ? ` · sub-agent ${one.agent}` : ""}`),
    element("div", one.text, { class: "prose" }),
    ...(one.tools ?? []).map((tool) => folded(`${tool.failed ? "× " : ""}${tool.name}`,
      text(tool.input), text(tool.output))));

  const judge = (one) => {
    const said = one.asked ? (one.valid ? fixed(one.score, 3) : `not valid: ${one.error}`) : "not asked";
    const votes = one.passed === null ? "" : one.passed ? ", passed" : ", failed";
    return folded(`judge ${one.number} (${one.model}): ${said}${votes}, ${dollars(one.cost)}`,
      element("p", one.reason, { class: "prose" }),
      one.items.length ? grid(["category", "item", "achieved", "of", "reason"],
        one.items.map((item) => item.map(String))) : null);
  };

  const files = (run, found) => append(element("p", null, { class: "files" }),
    ...Object.entries(found).map(([title, path]) => element("a", title, { href: link(`${folder(run)}/${path}`) })));

  const details = (run, one) => [
    one.error ? part(`No verdict: ${one.error.kind}`, text(one.error.message)) : [],
    one.reason ? [element("p", one.reason, { class: "prose" })] : [],
    one.tampering ? part("Left above the workspace, and set aside", text(one.tampering.join("\n"))) : [],
    one.judges ? part("Judges", ...one.judges.map(judge)) : [],
    one.pipeline ? part("Pipeline", grid(["step", "status", "seconds"],
      one.pipeline.steps.map(([step, status, seconds]) => [step, status, fixed(seconds, 1)])),
      ...one.pipeline.findings.map((finding) => element("p", finding)),
      ...one.pipeline.steps.filter((step) => step[3]).map((step) => folded(`output of ${step[0]}`, text(step[3])))) : [],
    one.patch ? part("Patch", patch(one.patch)) : [],
    one.answer ? part("Answer", text(one.answer)) : [],
    one.transcript ? part("Transcript", ...one.transcript.map(turn)) : [],
    one.prompt !== undefined ? part("Prompt", folded("what the agent was asked", text(data.prompts[one.prompt]))) : [],
    one.attempts ? part(`Earlier executions: ${one.attempts.length}`,
      files(run, Object.fromEntries(one.attempts.map((path) => [path, `${path}/`])))) : [],
    one.files ? part("Files", files(run, one.files)) : [],
  ].flat();

  let back = null;
  const show = async (run) => {
    if (panel.hidden) back = document.activeElement;
    const close = element("button", "Close", { type: "button", class: "close" });
    close.addEventListener("click", shut);
    const step = (title, by) => {
      const place = order.indexOf(run) + by;
      const button = element("button", title, { type: "button" });
      button.disabled = place < 0 || place >= order.length;
      button.addEventListener("click", () => { move(place); go(order[place]); });
      return button;
    };
    const outcome = element("p", `${sign(run)} ${word(run)}`, { class: kind(run) });
    outcome.append(`, score ${fixed(runs.score[run], 3)}, grade ${runs.grade[run] ?? "–"}, `,
      `${dollars(runs.cost[run])}, ${fixed(runs.seconds[run], 1)} s, ${whole(runs.tokens[run])} tokens`,
      runs.attempts[run] > 1 ? `, ↻ ${runs.attempts[run]} executions` : "");
    panel.replaceChildren(close, append(element("h2", null, { id: "panel-title" }), element("bdi", node(run))),
      append(element("p"), step("← previous", -1), " ", step("next →", 1)), outcome);
    panel.hidden = false;
    panel.scrollTop = 0;
    panel.focus();
    const chunk = runs.where[run];
    const parts = chunk < 0
      ? [element("p", "There is no room in one file for what this run left. It is in its directory:"),
        files(run, { report: "report.md", directory: "" })]
      : details(run, (await unpack(chunk))[run]);
    if (wanted() === run) append(panel, ...parts);
    panel.dataset.run = node(run);
  };

  const shut = () => {
    panel.hidden = true;
    delete panel.dataset.run;
    history.replaceState(null, "", "#runs");
    (back?.isConnected ? back : scroll).focus({ preventScroll: true });
  };

  const wanted = () => {
    let said = location.hash.slice(1);
    try { said = decodeURIComponent(said); } catch { /* as it is */ }
    return byNode.get(said.split("::").slice(-3).join("::"));
  };
  const go = (run) => { location.hash = node(run); };
  const follow = () => {
    const run = wanted();
    if (run !== undefined) show(run);
    else if (!panel.hidden) { panel.hidden = true; }
  };
  window.addEventListener("hashchange", follow);

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "Escape" && !panel.hidden) shut();
    else if (event.key === "Escape" && event.target === byId("text")) { byId("text").value = ""; select(); scroll.focus(); }
    else if (event.key === "/" && !typing) { event.preventDefault(); byId("text").focus(); }
  });

  // -- paper ------------------------------------------------------------------------

  window.addEventListener("beforeprint", () => draw(true, true));
  window.addEventListener("afterprint", () => draw(true));

  select();
  follow();
  ready();
})();
