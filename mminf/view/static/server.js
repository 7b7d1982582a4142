// Requests to the app. Reading needs the cookie, which the browser has; changes need the token in a header.

let token = "";

export class Refused extends Error {}

async function answer(response) {
  if (response.ok) return response.json();
  const found = await response.json().catch(() => ({}));
  const detail = typeof found.detail === "string" ? found.detail : `the app answered with ${response.status}`;
  throw new Refused(detail);
}

/** Opens the session: the runs that the app shows. */
export async function open() {
  const session = await answer(await fetch("/api/session"));
  token = session.token;
  return session;
}

/** Returns the address of something about a run. */
export function address(run, what, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== "" && item !== null && item !== undefined) query.append(name, item);
    }
  }
  return `/api/runs/${run}/${what}?${query}`;
}

export async function get(run, what, parameters = {}, signal = undefined) {
  return answer(await fetch(address(run, what, parameters), { signal }));
}

/** Changes the mark of a record, its note, or both; returns what they are now. */
export async function mark(run, id, changes) {
  const body = JSON.stringify({ id, ...changes });
  const headers = { "content-type": "application/json", "x-mminf-token": token };
  return answer(await fetch(`/api/runs/${run}/mark`, { method: "POST", headers, body }));
}
