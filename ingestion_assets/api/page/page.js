"use strict";

// Everything that comes from documents or from the model is put in as text, never as HTML.
const byId = (id) => document.getElementById(id);
const form = byId("form");
const query = byId("q");
const hits = byId("hits");
const FILTERS = ["source", "domain", "category", "uri_prefix", "modified_after", "modified_before"];
let running = null;

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function words(text) {
  const found = text.toLowerCase().match(/[\p{L}\p{N}]{2,}/gu) || [];
  return [...new Set(found)].sort((a, b) => b.length - a.length).slice(0, 50);
}

function highlighted(text, wanted) {
  if (!wanted.length) return [text];
  // Letters and digits only, so there is nothing to escape.
  const forms = wanted.map((word) => (word.length < 4 ? word : `${word}\\p{L}{0,3}`));
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(?:${forms.join("|")})(?![\\p{L}\\p{N}])`, "giu");
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), element("mark", "", match[0]));
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}

function isWeb(uri) {
  return /^https?:\/\//i.test(uri) && URL.canParse(uri);
}

function link(hit) {
  const made = element("a", "", hit.title || hit.uri);
  made.href = isWeb(hit.uri) ? hit.uri : `api/documents/${encodeURIComponent(hit.document_id)}`;
  made.target = "_blank";
  made.rel = "noopener noreferrer";
  made.tabIndex = -1;
  return made;
}

function figures(hit) {
  const said = [`score ${hit.score.toPrecision(3)}`];
  if (hit.distance !== null) said.push(`cosine ${(1 - hit.distance).toFixed(3)}`);
  if (hit.vector_rank) said.push(`meaning #${hit.vector_rank}`);
  if (hit.text_rank) said.push(`words #${hit.text_rank}`);
  const line = element("p", "figures", said.join(" · "));
  if (!hit.embedded) line.append(" · ", element("span", "waiting", "vector not there yet"));
  return line;
}

function card(hit, number, wanted) {
  const page = hit.page && `page ${hit.page}`;
  const place = [`${hit.source}/${hit.uri}`, page, hit.heading].filter(Boolean).join(" › ");
  const made = element("li", "hit",
    element("h2", "", `${number}. `, link(hit)),
    element("p", "place", place),
    element("p", "text", ...highlighted(hit.text, wanted)),
    figures(hit));
  made.tabIndex = -1;
  made.id = `hit-${number}`;
  return made;
}

function show(found, wanted) {
  hits.replaceChildren(...found.hits.map((hit, i) => card(hit, i + 1, wanted)));
  const n = found.hits.length;
  const ms = Math.round(found.timings.total ?? 0);
  byId("status").textContent = n
    ? `${n} ${n === 1 ? "passage" : "passages"} by ${found.method} search in ${ms} ms`
    : "Nothing found. Try other words, another method, or fewer filters.";
  notice(found.degraded.length ? `Incomplete: ${found.degraded.join("\n")}` : "");
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function busy(text) {
  byId("status").textContent = text;
  byId("answer").hidden = true;
  byId("answer-text").textContent = "";
  byId("answer-note").textContent = "";
  notice("");
  hits.replaceChildren();
}

function fields() {
  const given = [...new FormData(form)].filter(([, value]) => value !== "");
  return Object.fromEntries(given);
}

async function refused(response) {
  const said = await response.json().catch(() => ({ detail: response.statusText }));
  return new Error(said.detail || said.error || response.statusText);
}

async function search(asked, signal) {
  const { answer, ...given } = asked;
  const response = await fetch(`api/search?${new URLSearchParams(given)}`, { signal });
  if (!response.ok) throw await refused(response);
  show(await response.json(), words(asked.q));
}

async function ask(asked, signal) {
  const filters = Object.fromEntries(FILTERS.filter((f) => asked[f]).map((f) => [f, asked[f]]));
  const body = { query: asked.q, k: Number(asked.k), method: asked.method, filters, answer: true, stream: true };
  const response = await fetch("api/query", {
    method: "POST", signal, body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
  if (!response.ok) throw await refused(response);
  byId("answer").hidden = false;
  byId("answer-note").textContent = "Reading …";
  for await (const line of lines(response.body)) take(line, words(asked.q));
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split("\n");
    held = whole.pop();
    for (const line of whole) if (line) yield JSON.parse(line);
  }
}

function take(line, wanted) {
  if (line.type === "results") {
    show({ ...line, hits: line.metadatas.map((m, i) => ({
      ...m, text: line.documents[i], distance: line.distances[i], score: line.scores[i],
    })) }, wanted);
  } else if (line.type === "token") {
    byId("answer-note").textContent = "";
    byId("answer-text").append(line.text);
  } else if (line.type === "answer") {
    finish(line);
  } else {
    byId("answer-note").textContent = "";
    byId("answer").hidden = !byId("answer-text").textContent;
    notice(`No answer: ${line.detail}`);
  }
}

function finish(line) {
  const parts = (line.answer || "").split(/(\[\d+\])/).map((part) => {
    const number = /^\[(\d+)\]$/.exec(part);
    if (!number) return part;
    const made = element("button", "cite", part);
    made.type = "button";
    made.addEventListener("click", () => byId(`hit-${number[1]}`)?.focus());
    return made;
  });
  byId("answer-text").replaceChildren(...parts);
  const silent = line.found && !line.citations.length;
  byId("answer-note").textContent = silent ? "The answer cites no passage: do not rely on it." : "";
}

async function run(push) {
  running?.abort();
  running = new AbortController();
  const mine = running;
  const asked = fields();
  if (!asked.q?.trim()) return;
  if (push) history.pushState(null, "", `?${new URLSearchParams(asked)}`);
  busy("Searching …");
  try {
    await (asked.answer ? ask : search)(asked, mine.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    byId("status").textContent = "";
    byId("answer").hidden = !byId("answer-text").textContent;
    const lost = error instanceof TypeError;
    notice(lost ? "The server does not answer. Is `ingest serve` running?" : error.message);
  }
}

function restore() {
  const given = new URLSearchParams(location.search);
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") field.checked = given.has(field.name);
    else if (given.has(field.name)) field.value = given.get(field.name);
  }
  countFilters();
  if (query.value) run(false);
}

function countFilters() {
  const n = FILTERS.filter((name) => form.elements[name].value).length;
  byId("chosen").textContent = n ? `(${n})` : "";
  if (n) byId("filters").open = true;
}

function move(step) {
  const all = [...hits.children];
  if (!all.length) return false;
  const at = all.findIndex((hit) => hit.contains(document.activeElement));
  const next = at + step;
  if (next < 0) query.focus();
  else all[Math.min(next, all.length - 1)].focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, target } = event;
  const typing = target.matches("input, select, textarea");
  if (key === "/" && !typing) {
    query.focus();
    query.select();
  } else if (key === "Escape") {
    if (target === query) running?.abort();
    query.focus();
  } else if ((key === "ArrowDown" || key === "ArrowUp") && (!typing || target === query)) {
    if (target === query && key === "ArrowUp") return;
    if (!move(key === "ArrowDown" ? 1 : -1)) return;
  } else if (key === "Enter" && target.classList.contains("hit")) {
    target.querySelector("a").click();
  } else {
    return;
  }
  event.preventDefault();
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run(true);
});
form.addEventListener("change", (event) => {
  countFilters();
  if (event.target !== query && query.value) run(true);
});
byId("clear").addEventListener("click", () => {
  for (const name of FILTERS) form.elements[name].value = "";
  countFilters();
  if (query.value) run(true);
});
window.addEventListener("popstate", restore);
restore();
