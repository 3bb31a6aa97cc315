// The quota matrix as a spreadsheet: arrows and Enter move between cells, a block that was copied there is pasted from
// the cell where the cursor stands. Without this file the page is a form like any other.
const table = document.querySelector("[data-matrix]");
const cells = () => [...table.querySelectorAll("input[data-row]")];
const at = (row, column) => table.querySelector(`input[data-row="${row}"][data-column="${column}"]`);

function mark(input) {
  input.classList.toggle("omni-typed", input.value.trim() !== "");
}

function tell() {
  const count = cells().filter((input) => input.value.trim() !== "").length;
  const button = document.querySelector("[data-matrix-preview]");
  const note = document.querySelector("[data-matrix-count]");
  if (note) note.textContent = count ? note.dataset.some.replace("{count}", count) : "";
  button?.classList.toggle("omni-button-primary", count > 0);
}

function go(input, down, right) {
  const row = Number(input.dataset.row) + down;
  const column = Number(input.dataset.column) + right;
  const next = at(row, column);
  if (!next) return false;
  next.focus();
  next.select();
  return true;
}

function press(event) {
  const input = event.target;
  if (!input.matches?.("input[data-row]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const isAtStart = input.selectionStart === 0;
  const isAtEnd = input.selectionEnd === input.value.length;
  const moves = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    Enter: [event.shiftKey ? -1 : 1, 0],
    ArrowLeft: isAtStart ? [0, -1] : null,
    ArrowRight: isAtEnd ? [0, 1] : null,
  };
  const move = moves[event.key];
  if (event.key === "Escape") {
    input.value = "";
    mark(input);
    tell();
  } else if (move) {
    // Enter never sends the form from a cell: a person in a spreadsheet means the next line.
    if (go(input, ...move) || event.key === "Enter" || event.key.startsWith("ArrowUp") || event.key === "ArrowDown") {
      event.preventDefault();
    }
  }
}

function paste(event) {
  const input = event.target;
  if (!input.matches?.("input[data-row]")) return;
  const text = event.clipboardData?.getData("text/plain") ?? "";
  const lines = text.replace(/\r/g, "").replace(/\n+$/, "").split("\n");
  const block = lines.map((line) => line.split("\t"));
  if (block.length === 1 && block[0].length === 1) return;
  event.preventDefault();
  block.forEach((values, down) => {
    values.forEach((value, right) => {
      const cell = at(Number(input.dataset.row) + down, Number(input.dataset.column) + right);
      if (!cell) return;
      cell.value = value.trim();
      mark(cell);
    });
  });
  tell();
}

if (table) {
  table.addEventListener("keydown", press);
  table.addEventListener("paste", paste);
  table.addEventListener("input", (event) => {
    if (event.target.matches("input[data-row]")) mark(event.target);
    tell();
  });
  table.addEventListener("focusin", (event) => {
    if (event.target.matches("input[data-row]")) event.target.select();
  });
  // A thousand empty fields say nothing: only what was typed is sent.
  table.closest("form")?.addEventListener("submit", () => {
    for (const input of cells()) input.disabled = input.value.trim() === "";
    // The page that comes back from the browser's memory has its fields again.
    setTimeout(() => cells().forEach((input) => (input.disabled = false)), 0);
  });
  cells().forEach(mark);
  tell();
}
