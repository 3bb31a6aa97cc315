// Names for what Unfold and select2 leave without one, so that a screen reader can say what a field is.
const nameOf = (cell) => {
  const table = cell.closest("table");
  const head = table?.tHead?.rows[table.tHead.rows.length - 1]?.cells[cell.cellIndex];
  return (cell.dataset.label || head?.innerText || "").trim();
};

function nameFields(root = document) {
  for (const field of root.querySelectorAll("td input:not([type=hidden]), td select, td textarea")) {
    if (field.labels?.length || field.getAttribute("aria-label") || field.getAttribute("aria-labelledby")) continue;
    const name = nameOf(field.closest("td"));
    if (name) field.setAttribute("aria-label", name);
  }
  for (const box of root.querySelectorAll(".select2-selection[role=combobox]")) {
    const select = box.closest(".select2")?.previousElementSibling;
    const name = select?.labels?.[0]?.innerText || (box.closest("td") ? nameOf(box.closest("td")) : "");
    if (!name) continue;
    box.removeAttribute("aria-labelledby");
    for (const part of [box, box.querySelector("[role=textbox]")]) part?.setAttribute("aria-label", name.trim());
  }
}

// select2 builds its boxes when the page has loaded, and again for each added row.
addEventListener("load", () => setTimeout(nameFields, 0));
addEventListener("load", () => {
  for (const form of document.querySelectorAll("form")) {
    new MutationObserver(() => nameFields(form)).observe(form, { childList: true, subtree: true });
  }
});

// A button that copies the text of the element that it names. Where the browser gives no clipboard (a page that
// came without TLS) the text is selected instead, for the person to copy.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  const source = button && document.getElementById(button.dataset.copy);
  if (!source) return;
  getSelection().selectAllChildren(source);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
  } catch {
    if (!document.execCommand("copy")) return;
  }
  const label = button.textContent;
  button.textContent = button.dataset.copied;
  button.setAttribute("aria-live", "polite");
  setTimeout(() => (button.textContent = label), 2000);
});
