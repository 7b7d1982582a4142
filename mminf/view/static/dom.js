// Makes elements. Texts of records and models become text nodes only: nothing here parses HTML.

// Control characters, and marks that change the direction of text; a line break of Windows is none.
const CONTROL = /\r(?!\n)|[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Returns an element. `properties` are set as properties; `data` as data attributes, `aria` as ARIA attributes. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "data") Object.assign(made.dataset, value);
    else if (key === "aria") for (const [part, text] of Object.entries(value)) made.setAttribute(`aria-${part}`, text);
    else if (key === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Returns a text in isolation, whatever its direction; control characters are shown by their numbers. */
export function isolated(text, properties = {}) {
  const made = element("bdi", { dir: "auto", ...properties });
  let start = 0;
  for (const match of text.matchAll(CONTROL)) {
    made.append(text.slice(start, match.index));
    const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    made.append(element("span", { className: "control", title: "a control character" }, `U+${code}`));
    start = match.index + match[0].length;
  }
  made.append(text.slice(start));
  return made;
}

/** Returns a button. */
export function button(label, listener, properties = {}) {
  return element("button", { type: "button", on: { click: listener }, ...properties }, label);
}

export function number(value) {
  return value.toLocaleString("en");
}

export function percent(share) {
  return share === null ? "–" : `${(100 * share).toFixed(1)} %`;
}
