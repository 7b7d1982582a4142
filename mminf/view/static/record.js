// A record: its images, outcomes, fields, calls and mark; in several runs side by side.

import { button, element, isolated, number } from "./dom.js";
import { address, get, mark as sendMark } from "./server.js";

/** Shows a record in all runs; returns its columns, which are still loading. `marked(run, id, mark, note)` is called when its mark has changed. */
export function showRecord(place, labels, id, open, marked) {
  const columns = labels.map((label, run) => new Column(run, labels.length > 1 ? label : "", id, open, marked));
  place.replaceChildren(element("div", { className: "columns" }, ...columns.map((column) => column.place)));
  place.scrollTop = 0;
  Promise.all(columns.map((column) => column.load())).then(() => {
    if (columns.length > 1) showDifferences(columns);
  });
  return columns;
}

class Column {
  constructor(run, label, id, open, marked) {
    this.run = run;
    this.id = id;
    this.open = open;
    this.marked = marked;
    this.fields = new Map();
    this.mark = null;
    this.note = null;
    this.sending = Promise.resolve();
    this.turn = 0;
    this.head = element("div");
    this.marks = element("div", { className: "marks" });
    this.body = element("div");
    this.calls = element("div");
    this.place = element(
      "article",
      { className: "column", data: { run: String(run) } },
      label ? element("p", { className: "run" }, isolated(label)) : null,
      element("h2", {}, isolated(id)),
      this.head,
      this.marks,
      this.body,
      this.calls,
    );
  }

  async load() {
    this.markReady = this.loadMark();
    await Promise.all([this.loadOutcomes(), this.markReady, this.loadCalls(0)]);
  }

  async loadOutcomes() {
    const found = await this.ask("outcomes", {}, this.body);
    if (found === null) return;
    this.head.append(...found.problems.map(problem));
    const own = found.outcomes.filter((outcome) => outcome.id === this.id);
    const last = own.pop();
    if (last === undefined) {
      if (!found.problems.length) this.body.append(problem("The run has no outcome of this record."));
    } else {
      this.head.append(outcomeLine(last));
      this.body.append(this.images(last), this.fieldList(last, this.fields));
    }
    const others = [...own.reverse(), ...found.outcomes.filter((outcome) => outcome.id !== this.id)];
    if (others.length) this.body.append(element("h3", {}, "Earlier stages and children"));
    for (const outcome of others) this.body.append(this.folded(outcome));
    if (found.more) this.body.append(element("p", { className: "quiet" }, "There are more outcomes."));
  }

  folded(outcome) {
    const made = element("details", {}, element("summary", {}, isolated(outcome.id), " ", outcomeLine(outcome)));
    if (outcome.id !== this.id) made.append(button("Open", () => this.open(outcome.id)));
    made.append(this.fieldList(outcome, new Map()));
    return made;
  }

  images(outcome) {
    const made = element("div", { className: "images" });
    for (let n = 0; n < Math.min(outcome.images, 12); n++) {
      const src = address(this.run, "image", { record: this.id, number: n, size: "large" });
      const image = element("img", { alt: `image ${n + 1}`, decoding: "async" });
      image.addEventListener("error", () => this.explain(image, n));
      image.src = src;
      made.append(image);
    }
    return made;
  }

  /** Replaces an image by the reason why it is not shown. */
  async explain(image, n) {
    const note = element("p", { className: "quiet" }, "The image can't be shown.");
    image.replaceWith(note);
    try {
      await get(this.run, "image", { record: this.id, number: n, size: "large" });
    } catch (error) {
      note.replaceChildren(isolated(error.message));
    }
  }

  fieldList(outcome, names) {
    const made = element("dl");
    if (outcome.broken) return element("div", {}, problem(outcome.broken));
    for (const { name, value } of outcome.fields) {
      if (name === "id") continue;
      const field = element("div", { className: "field" }, element("dt", {}, isolated(name)), element("dd", {}, this.long(value)));
      names.set(name, { field, value });
      made.append(field);
    }
    if (outcome.more) made.append(element("p", { className: "quiet" }, `${number(outcome.more)} more fields are not shown.`));
    return made;
  }

  async loadCalls(skip) {
    const found = await this.ask("calls", { skip }, this.calls, skip === 0 ? "Searching the calls of the record…" : "");
    if (found === null) return;
    if (skip === 0) this.calls.append(element("h3", {}, `Calls (${number(found.total)})`), ...found.problems.map(problem));
    for (const call of found.calls) this.calls.append(this.call(call));
    const end = skip + found.calls.length;
    if (end >= found.total) return;
    const more = button(`Show more calls (${number(end)} of ${number(found.total)})`, () => {
      more.remove();
      this.loadCalls(end);
    });
    this.calls.append(more);
  }

  call(call) {
    const again = call.attempt ? `, attempt ${call.attempt + 1}` : "";
    const sample = call.sample ? `, sample ${call.sample + 1}` : "";
    const child = call.record === this.id ? [] : [" of ", isolated(call.record)];
    const cost = `${number(call.prompt_tokens)}+${number(call.completion_tokens)} tokens, ${call.seconds.toFixed(2)} s, ${call.finish_reason}, run ${call.run}`;
    const made = element(
      "section",
      { className: "call" },
      element("h4", {}, isolated(call.step), ...child, again + sample, " ", element("small", {}, cost)),
    );
    const length = call.prompt.reduce((sum, turn) => sum + turn.text.length, 0);
    if (call.prompt.length) made.append(this.fold(`Prompt (${number(length)} characters)`, "prompt", () => this.turns(call.prompt)));
    if (call.reasoning) made.append(this.fold("Reasoning", "reasoning", () => [this.long(call.reasoning)]));
    made.append(element("div", { className: "answer" }, this.long(call.answer)));
    return made;
  }

  turns(prompt) {
    return prompt.map((turn) => element("div", { className: "turn" }, element("b", {}, isolated(turn.role)), this.long(turn.text)));
  }

  /** Returns a folded part, whose content is made when it is opened for the first time. */
  fold(title, kind, content) {
    const made = element("details", { className: kind }, element("summary", {}, title));
    made.addEventListener("toggle", () => made.append(...content()), { once: true });
    return made;
  }

  /** Returns a text, and buttons for the rest of a long one. */
  long(piece) {
    const made = element("div", { className: "text" }, isolated(piece.text, { className: "piece" }));
    if (!piece.place) return made;
    let end = piece.end;
    let busy = false;
    const line = element("p", { className: "rest" });
    const tell = () => `${number(end)} of ${number(piece.length)} characters`;
    const shown = element("span", {}, tell());
    const more = async (all) => {
      if (busy) return;
      busy = true;
      try {
        do {
          const part = await get(this.run, "text", {
            record: this.id, place: JSON.stringify(piece.place), offset: end, length: piece.length,
          });
          line.before(isolated(part.text, { className: "piece" }));
          end = part.end;
          shown.textContent = tell();
        } while (all && end < piece.length && made.isConnected);
        if (end >= piece.length) line.remove();
      } catch (error) {
        shown.textContent = error.message;
      }
      busy = false;
    };
    line.append(shown, " ", button("Show more", () => more(false)), " ", button("Show all", () => more(true)));
    made.append(line);
    return made;
  }

  async loadMark() {
    const found = await this.ask("mark", {}, this.marks);
    if (found === null) return;
    this.mark = found.mark;
    this.sent = found.note;
    this.buttons = ["good", "bad"].map((value) =>
      button(value === "good" ? "Good" : "Bad", () => this.toggle(value), { className: `mark ${value}` }),
    );
    this.note = element("textarea", { className: "note", rows: 1, maxLength: 10000, placeholder: "note", value: found.note });
    this.note.setAttribute("aria-label", "note");
    this.note.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.saveNote();
    });
    this.note.addEventListener("change", () => this.saveNote()); // also when the user goes to another record
    this.saved = element("output", { className: "quiet" });
    const save = button("Save note", () => this.saveNote(), { className: "save" });
    this.marks.replaceChildren(...this.buttons, this.note, save, this.saved);
    this.showMark();
  }

  showMark() {
    for (const made of this.buttons) made.setAttribute("aria-pressed", String(made.classList.contains(this.mark)));
  }

  /** Sets a mark, or removes it if it was set. */
  async toggle(value) {
    await this.markReady;
    if (!this.note) return;
    const before = this.mark;
    const mark = before === value ? null : value;
    this.mark = mark;
    this.showMark();
    await this.send({ mark }, () => {
      if (this.mark === mark) this.mark = before;
    });
  }

  /** Sends the note if it has changed. */
  saveNote() {
    const note = this.note.value;
    const before = this.sent;
    if (note === before) return undefined;
    this.sent = note;
    return this.send({ note }, () => (this.sent = before));
  }

  /** Sends what has changed, after what is being sent; the user may go on writing meanwhile. */
  send(changes, undo) {
    this.saved.value = "";
    const turn = (this.turn += 1);
    this.sending = this.sending.then(async () => {
      let now;
      try {
        now = await sendMark(this.run, this.id, changes);
      } catch (error) {
        this.saved.value = error.message;
        undo();
        this.showMark();
        return;
      }
      this.marked(this.run, this.id, now.mark, now.note);
      if (turn !== this.turn) return;
      this.saved.value = "saved";
      this.mark = now.mark;
      if (this.note.value === this.sent) this.note.value = this.sent = now.note; // another person may have written one
      this.showMark();
    });
    return this.sending;
  }

  /** Returns an answer of the app, or null after it has shown the reason why there is none. */
  async ask(what, parameters, place, waiting = "") {
    const note = element("p", { className: "quiet" }, waiting);
    if (waiting) place.append(note);
    try {
      return await get(this.run, what, { record: this.id, ...parameters });
    } catch (error) {
      place.append(problem(error.message));
      return null;
    } finally {
      note.remove();
    }
  }
}

function outcomeLine(outcome) {
  const at = outcome.step ? [" at ", isolated(outcome.step)] : [];
  const reason = outcome.reason ? [": ", isolated(outcome.reason)] : [];
  return element("span", { className: `outcome ${outcome.state}` }, outcome.state, ...at, ...reason);
}

function problem(text) {
  return element("p", { className: "problem" }, isolated(text));
}

/** Marks the fields whose values are not the same in all runs. */
function showDifferences(columns) {
  for (const { fields } of columns) {
    for (const [name, { field, value }] of fields) {
      const others = columns.map((column) => column.fields.get(name)?.value);
      const same = others.every((other) => other && other.text === value.text && other.length === value.length);
      if (!same) field.classList.add("differs");
    }
  }
}
