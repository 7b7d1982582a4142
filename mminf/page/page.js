// Filters the records of the gallery.
const inputs = ["run", "state", "step", "text"].map((name) => document.getElementById(name));
const records = [...document.querySelectorAll("#gallery article")];
function filter() {
  const [run, state, step, text] = inputs.map((input) => input.value);
  let shown = 0;
  for (const record of records) {
    const data = record.dataset;
    const fits = (!run || data.run === run) && (!state || data.state === state) && (!step || data.step === step)
      && (!text || record.textContent.toLowerCase().includes(text.toLowerCase()));
    record.hidden = !fits;
    shown += fits ? 1 : 0;
  }
  document.getElementById("count").textContent = `${shown} of ${records.length} records`;
}
if (records.length) {
  for (const input of inputs) input.addEventListener("input", filter);
  filter();
}
