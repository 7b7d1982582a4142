// The funnel of a run: what happened to the records that reached each step.

import { button, element, isolated, number, percent } from "./dom.js";

let shown = "";

/** Shows the funnel; `choose(step, state)` filters the records. */
export function showFunnel(place, summary, choose) {
  const now = JSON.stringify([summary.funnel, summary.done, summary.label]);
  if (now === shown) return;
  shown = now;
  if (!summary.funnel.length) {
    place.replaceChildren(element("p", { className: "quiet" }, "No record has an outcome yet."));
    return;
  }
  const most = Math.max(1, ...summary.funnel.map((step) => step.entered));
  const steps = summary.funnel.map((step) => entry(step, most, choose));
  const kept = button(`${number(summary.done)} kept`, () => choose("", "done"), { className: "count done" });
  place.replaceChildren(element("ol", {}, ...steps, element("li", {}, kept)));
}

function entry(step, most, choose) {
  const left = step.entered - step.dropped - step.failed;
  const published = step.published === null ? "" : ` (published: ${percent(step.published)})`;
  const ends = [count(step, "dropped", choose), count(step, "failed", choose)].filter((made) => made !== null);
  const calls = step.calls ? element("span", { title: `${number(step.tokens)} tokens` }, `${number(step.calls)} calls`) : null;
  return element(
    "li",
    { className: "step" },
    element("span", { className: "name" }, isolated(step.name)),
    element("span", { className: "share" }, `${number(left)} of ${number(step.entered)}`),
    bar([["passed", left], ["dropped", step.dropped], ["failed", step.failed]], most),
    element("span", { className: "ends" }, ...ends, calls),
    element("span", { className: "rate" }, `${percent(step.passed)}${published}`),
  );
}

function count(step, state, choose) {
  if (!step[state]) return null;
  const name = step.name === "source" ? "" : step.name;
  return button(`${number(step[state])} ${state}`, () => choose(name, state), { className: `count ${state}` });
}

function bar(parts, most) {
  const made = element("div", { className: "bar", aria: { hidden: "true" } });
  for (const [state, size] of parts) {
    const part = element("span", { className: state });
    part.style.width = `${(100 * size) / most}%`;
    made.append(part);
  }
  return made;
}
