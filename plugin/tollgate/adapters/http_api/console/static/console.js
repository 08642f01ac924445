// What the pages cannot do without a script: copy a text, ask before something is lost, and keep
// figures current.
"use strict";
document.addEventListener("click", async event => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text.trim());
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy it";
  }
});
document.addEventListener("submit", event => {
  const asked = event.submitter && event.submitter.dataset.confirm;
  if (asked && !window.confirm(asked)) event.preventDefault();
});
// The page Now shows what the server sends, as long as it is open.
const live = document.querySelector("[data-events]");
if (live) {
  new EventSource(live.dataset.events).onmessage = event => {
    const open = [...live.querySelectorAll("details")].map(each => each.open);
    live.innerHTML = event.data;
    live.querySelectorAll("details").forEach((each, number) => { each.open = open[number]; });
  };
}
