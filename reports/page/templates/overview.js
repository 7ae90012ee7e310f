"use strict";
// Filters of the overview. Without a script every card and claim is there, and the form is not.
(() => {
  const form = document.getElementById("filters");
  const names = ["paper", "scale", "verdict"];
  const boxes = [...form.querySelectorAll("input")];
  const items = [...document.querySelectorAll("[data-verdicts]")];
  const cards = items.filter((item) => item.matches(".card"));
  const claims = items.filter((item) => item.matches("tr"));
  const reset = form.querySelector("button");

  const chosen = (name) => boxes.filter((box) => box.name === name && box.checked).map((box) => box.value);
  const fits = (item, asked) =>
    names.every((name) => {
      const own = name === "verdict" ? item.dataset.verdicts.split("|") : [item.dataset[name]];
      return !asked[name].length || own.some((value) => asked[name].includes(value));
    });
  const count = (list, words) => `${list.filter((item) => !item.hidden).length} of ${list.length} ${words}`;

  const apply = () => {
    const asked = Object.fromEntries(names.map((name) => [name, chosen(name)]));
    for (const item of items) item.hidden = !fits(item, asked);
    document.getElementById("shown").textContent = `${count(cards, "grids")} and ${count(claims, "claims")} shown`;
    reset.hidden = !boxes.some((box) => box.checked);
  };
  const remember = () => {
    const words = new URLSearchParams(boxes.filter((box) => box.checked).map((box) => [box.name, box.value]));
    history.replaceState(null, "", `${location.pathname}${location.search}${`#${words}`.replace(/^#$/, "")}`);
  };
  const recall = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    if (location.hash && !names.some((name) => words.has(name))) return; // an anchor, not filters
    for (const box of boxes) box.checked = words.getAll(box.name).includes(box.value);
    apply();
  };

  form.addEventListener("change", () => { apply(); remember(); });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const box of boxes) box.checked = false;
    boxes[0].focus(); // the button is about to go
    apply();
    remember();
  });
  window.addEventListener("hashchange", recall);
  form.hidden = false;
  apply();
  recall();
})();
