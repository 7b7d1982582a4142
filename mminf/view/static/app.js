// The page: what is shown is in the address after `#`, so that it can be reloaded and kept as a bookmark.

import { element, isolated, number } from "./dom.js";
import { showFunnel } from "./funnel.js";
import { Listing } from "./list.js";
import { showRecord } from "./record.js";
import { get, open } from "./server.js";

const find = (id) => document.getElementById(id);
const FILTERS = { text: "text", outcome: "state", step: "step", mark: "mark" };
const LIVE = new Set(["running", "writing"]);

let labels = [];
let columns = [];
let summary = null;
let settledAtSearch = 0;
const listing = new Listing((id) => go({ id }));

// The address

function state() {
  return new URLSearchParams(location.hash.slice(1));
}

/** Changes what is shown: the values are put into the address. */
function go(changes) {
  const now = state();
  for (const [name, value] of Object.entries(changes)) {
    now.delete(name);
    for (const item of Array.isArray(value) ? value : [value]) if (item !== "") now.append(name, item);
  }
  location.hash = now.toString();
}

const run = () => Number(state().get("run") ?? 0);

// Filters

function readFilters() {
  const found = {};
  for (const [id, name] of Object.entries(FILTERS)) found[name] = find(id).value;
  found.score = [...document.querySelectorAll("#scores .range")]
    .map((range) => [range.dataset.field, ...[...range.querySelectorAll("input")].map((input) => input.value)])
    .filter(([, low, high]) => low !== "" || high !== "")
    .map((parts) => parts.join(":"));
  return found;
}

function writeFilters(now) {
  for (const [id, name] of Object.entries(FILTERS)) {
    if (document.activeElement !== find(id)) find(id).value = now.get(name) ?? "";
  }
  const ranges = new Map(now.getAll("score").map((text) => text.match(/^(.*):(.*):(.*)$/s)?.slice(1) ?? []).map(([field, ...ends]) => [field, ends]));
  for (const range of document.querySelectorAll("#scores .range")) {
    const ends = ranges.get(range.dataset.field) ?? ["", ""];
    range.querySelectorAll("input").forEach((input, at) => {
      if (document.activeElement !== input) input.value = ends[at];
    });
  }
}

function showChoices() {
  const step = find("step");
  const wanted = JSON.stringify([summary.steps, summary.scores]);
  if (step.dataset.shown === wanted) return;
  step.dataset.shown = wanted;
  step.replaceChildren(element("option", { value: "" }, "all"), ...summary.steps.map((name) => element("option", { value: name }, name)));
  const ranges = summary.scores.flatMap((score) => [[score.name, score.low, score.high, 1], ...(score.expected ? [[score.expected, score.low, score.high, "any"]] : [])]);
  find("scores").replaceChildren(...ranges.map(([name, low, high, step]) => {
    const end = (label, placeholder) => {
      const input = element("input", { type: "number", min: low, max: high, step, placeholder });
      input.setAttribute("aria-label", `${name} ${label}`);
      input.addEventListener("input", filter);
      return input;
    };
    return element("span", { className: "range", data: { field: name } }, isolated(name), " ", end("at least", low), "–", end("at most", high));
  }));
  writeFilters(state());
}

let waiting = 0;
function filter() {
  clearTimeout(waiting);
  waiting = setTimeout(() => go(readFilters()), 250);
}

// What is shown

let shownSearch = null;
let shownRecord = null;

function show() {
  const now = state();
  writeFilters(now);
  find("run").value = String(run());
  const record = now.get("id");
  now.delete("id");
  if (shownSearch !== now.toString()) {
    shownSearch = now.toString();
    search(now);
  }
  listing.show(record);
  if (record !== null && record !== shownRecord) {
    shownRecord = record;
    columns = showRecord(find("record"), labels, record, (id) => go({ id }), marked);
  }
}

function search(now) {
  find("reload").hidden = true;
  settledAtSearch = summary ? settled() : 0;
  const parameters = Object.fromEntries(["text", "state", "step", "mark"].map((name) => [name, now.get(name) ?? ""]));
  listing.start(run(), { ...parameters, score: now.getAll("score") }).then(() => listing.show(state().get("id")));
}

function marked(run, id, mark, note) {
  listing.mark(run, id, mark, note);
  refresh(false);
}

const settled = () => (summary.done ?? 0) + (summary.dropped ?? 0) + (summary.failed ?? 0);

/** Asks for the summary of the run, and again while it may change. */
async function refresh(again = true) {
  const asked = run();
  try {
    const found = await get(asked, "summary");
    if (asked === run()) {
      if (summary === null || summary.label !== found.label) settledAtSearch = 0;
      summary = found;
      showSummary();
    }
  } catch (error) {
    showProblems([error instanceof TypeError ? "The app does not answer. Has `mminf view` ended?" : error.message]);
  }
  if (again) setTimeout(refresh, summary && LIVE.has(summary.state) ? 1500 : 6000);
}

function showSummary() {
  const notes = summary.images ? [summary.images] : [];
  showProblems([...summary.problems, ...notes]);
  const pending = summary.pending ? `, ${number(summary.pending)} pending` : "";
  const waiting = summary.waiting ? `, ${number(summary.waiting)} waiting` : "";
  const marks = `marks: ${summary.marks.good} good, ${summary.marks.bad} bad, ${summary.marks.note} with a note`;
  const parts = Object.keys(summary.parts ?? {}).length;
  const shards = parts ? ` in ${parts} shards` : "";
  const resume = ["killed", "interrupted"].includes(summary.state) ? " (run the same command to resume)" : "";
  const words = summary.state === null ? "not readable" : `${summary.state}${shards}${resume}`;
  find("state").replaceChildren(
    isolated(summary.recipe ?? summary.label), ": ",
    element("b", { className: `run-state ${summary.state ?? ""}` }, words),
    summary.done === undefined ? "" : ` · ${number(summary.done)} done, ${number(summary.dropped)} dropped, ${number(summary.failed)} failed${waiting}${pending} · ${marks}`,
  );
  showFunnel(find("funnel"), summary, (step, outcome) => go({ step, state: outcome }));
  showChoices();
  const fresh = settled() - settledAtSearch;
  if (!settledAtSearch) settledAtSearch = settled();
  else if (fresh > 0) {
    find("reload").hidden = false;
    find("reload").textContent = "Reload: the run has new outcomes";
  }
}

function showProblems(problems) {
  const place = find("problems");
  const now = JSON.stringify(problems);
  if (place.dataset.shown === now) return;
  place.dataset.shown = now;
  place.replaceChildren(...problems.map((text) => element("p", {}, isolated(text))));
}

// Keys

/** Opens the next or the previous record; more records are searched for after the last one. */
async function move(id, step) {
  let found = listing.neighbour(id, step);
  if (found === null && step > 0 && (await listing.more())) found = listing.neighbour(id, step);
  if (found === null || state().get("id") !== id) return;
  go({ id: found });
  show(); // the next key is about this record
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  const id = state().get("id");
  if (event.key === "/") {
    event.preventDefault();
    find("text").focus();
  } else if (event.key === "j" || event.key === "k") {
    move(id, event.key === "j" ? 1 : -1);
  } else if ((event.key === "g" || event.key === "b") && columns[run()]?.id === id) {
    columns[run()].toggle(event.key === "g" ? "good" : "bad");
  }
}

async function start() {
  history.replaceState(null, "", `/${location.hash}`); // the token stays out of the history and of bookmarks
  let session;
  try {
    session = await open();
  } catch (error) {
    showProblems([error.message]);
    return;
  }
  labels = session.runs;
  find("run-label").hidden = labels.length < 2;
  document.querySelector("main").classList.toggle("compared", labels.length > 1);
  find("run").replaceChildren(...labels.map((label, at) => element("option", { value: String(at) }, label)));
  find("outcome").append(...session.states.map((name) => element("option", { value: name }, name)));
  for (const id of Object.keys(FILTERS)) find(id).addEventListener("input", filter);
  find("run").addEventListener("input", () => {
    summary = null;
    go({ run: find("run").value });
    refresh(false);
  });
  find("clear").addEventListener("click", () => {
    document.activeElement?.blur();
    go({ text: "", state: "", step: "", mark: "", score: [] });
  });
  find("reload").addEventListener("click", () => search(state()));
  addEventListener("hashchange", show);
  addEventListener("keydown", press);
  await refresh();
  show();
}

start();
