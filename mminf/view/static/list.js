// The list of records that meet the conditions, page by page.

import { element, isolated, number } from "./dom.js";
import { address, get } from "./server.js";

const PAGE = 50;
const find = (id) => document.getElementById(id);

/** A search: it asks for pages until enough records are found, or it is stopped. */
export class Listing {
  constructor(choose) {
    this.choose = choose;
    this.items = [];
    this.run = 0;
    this.parameters = {};
    this.stop = new AbortController();
    this.searching = false;
    this.next = null;
    find("more").addEventListener("click", () => (this.searching ? this.pause() : this.continue()));
  }

  /** Starts a search. */
  start(run, parameters) {
    this.pause();
    this.run = run;
    this.parameters = parameters;
    this.items = [];
    this.next = null;
    this.began = false;
    find("records").replaceChildren();
    return this.continue();
  }

  pause() {
    this.stop.abort();
    this.searching = false;
    this.tell();
  }

  async continue() {
    const stop = (this.stop = new AbortController());
    const wanted = this.items.length + PAGE;
    this.searching = true;
    this.tell();
    try {
      do {
        const parameters = { ...this.parameters, after: this.next, limit: wanted - this.items.length };
        const page = await get(this.run, "records", parameters, stop.signal);
        if (stop.signal.aborted) return;
        this.add(page);
        this.tell();
      } while (this.next !== null && this.items.length < wanted);
      this.searching = false;
      this.tell();
    } catch (error) {
      if (stop.signal.aborted) return;
      this.searching = false;
      this.tell(error.message);
    }
  }

  add(page) {
    this.next = page.next;
    this.at = page.at;
    this.began = true;
    for (const item of page.records) {
      this.items.push(item);
      find("records").append(this.entry(item));
    }
  }

  tell(problem = "") {
    const many = `${number(this.items.length)} ${this.items.length === 1 ? "record" : "records"}`;
    const rest = this.searching ? `, searching… (source record ${number((this.at ?? 0) + 1)})` : this.next === null ? "" : ", and more";
    find("found").value = problem || (this.began || this.searching ? many + rest : "");
    find("more").hidden = !this.searching && this.next === null;
    find("more").textContent = this.searching ? "Stop" : "More";
  }

  entry(item) {
    const scores = Object.entries(item.scores).map(([name, value]) =>
      element("span", { className: "score" }, isolated(name), ` ${Number.isInteger(value) ? value : value.toFixed(2)}`),
    );
    const at = item.step ? [" at ", isolated(item.step)] : [];
    const reason = item.reason ?? item.broken;
    const parts = [
      element("span", { className: "id" }, isolated(item.id)),
      element("span", { className: `state ${item.state}` }, item.state, ...at),
      element("span", { className: "marked" }),
      reason ? element("span", { className: "reason" }, isolated(reason)) : null,
      scores.length ? element("span", { className: "scores" }, ...scores) : null,
      ...item.excerpts.map(([name, text]) =>
        element("span", { className: "excerpt" }, element("i", {}, isolated(name), ": "), isolated(text)),
      ),
    ];
    const made = element(
      "button",
      { type: "button", className: "item", data: { id: item.id }, on: { click: () => this.choose(item.id) } },
      item.images ? this.thumbnail(item) : null,
      element("span", { className: "words" }, ...parts),
    );
    showMark(made, item.mark, item.note);
    return element("li", {}, made);
  }

  thumbnail(item) {
    const src = address(this.run, "image", { record: item.id, number: 0, size: "small" });
    const image = element("img", { loading: "lazy", alt: "", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(element("span", { className: "noimage" }, "no image")));
    image.src = src;
    return element("span", { className: "thumbnail" }, image);
  }

  /** Shows which record is open. */
  show(id) {
    for (const item of document.querySelectorAll("#records .item")) {
      const isOpen = item.dataset.id === id;
      item.setAttribute("aria-current", String(isOpen));
      if (isOpen) item.scrollIntoView({ block: "nearest" });
    }
  }

  /** Shows the new mark of a record. */
  mark(run, id, mark, note) {
    if (run !== this.run) return;
    for (const item of document.querySelectorAll("#records .item")) {
      if (item.dataset.id === id) showMark(item, mark, note);
    }
  }

  /** Searches for more records, if there may be some. Returns whether it has searched. */
  async more() {
    if (this.next === null || this.searching) return false;
    await this.continue();
    return true;
  }

  /** Returns the id of the record after or before another one. */
  neighbour(id, step) {
    const at = this.items.findIndex((item) => item.id === id);
    const found = this.items[at < 0 ? 0 : at + step];
    return found ? found.id : null;
  }
}

function showMark(item, mark, note) {
  const place = item.querySelector(".marked");
  place.className = `marked ${mark ?? ""}`;
  place.textContent = (mark ?? "") + (note ? " ✎" : "");
  place.title = note ?? "";
}
