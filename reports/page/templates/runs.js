// Tables that sort and sift, and buttons that copy: all of it is an addition to a page that is whole without.
(() => {
  "use strict";
  const said = document.createElement("p");
  said.className = "unseen";
  said.setAttribute("role", "status");
  document.body.append(said);

  // A number by its data-by; a column of texts by the words. What is missing comes last, either way round.
  const key = (row, column) => {
    const cell = row.cells[column];
    const by = cell.dataset.by;
    return by === undefined ? cell.textContent.trim() : by === "" ? null : Number(by);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => ({ row, by: key(row, column) }));
        rows.sort((a, b) => {
          if (a.by === null || b.by === null) return (a.by === null) - (b.by === null);
          return down ? compare(b.by, a.by) : compare(a.by, b.by);
        });
        body.append(...rows.map(({ row }) => row));
      });
    });
  }

  for (const form of document.querySelectorAll("form.sift")) {
    const rows = [...document.getElementById(form.dataset.for).tBodies[0].rows];
    const sift = () => {
      const kind = form.elements.kind.value;
      const words = form.elements.text.value.toLowerCase().split(/\s+/);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = (kind !== "" && row.dataset.kind !== kind) || !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
    };
    form.addEventListener("input", sift);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    sift();
  }

  // Browsers that give a page from disk no clipboard still copy a selection.
  const copySelected = (text) => {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "unseen";
    field.setAttribute("aria-hidden", "true");
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("not copied");
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      copySelected(text);
    }
  };
  for (const button of document.querySelectorAll("button.copy")) {
    const source = document.getElementById(button.dataset.copy);
    const words = [...button.childNodes];
    let timer = 0;
    button.hidden = false;
    button.addEventListener("click", async () => {
      let answer = "Copied";
      try {
        await copy(source.textContent);
      } catch {
        answer = "Selected: copy with the keyboard";
        getSelection().selectAllChildren(source);
      }
      button.focus();
      button.replaceChildren(answer);
      said.textContent = "";
      setTimeout(() => (said.textContent = answer === "Copied" ? "The command is copied" : answer), 50);
      clearTimeout(timer);
      timer = setTimeout(() => button.replaceChildren(...words), 2000);
    });
  }
})();
