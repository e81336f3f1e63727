// Menus of actions: a <details class="menu">, which also opens without this script. Escape, a click
// elsewhere and leaving it with the Tab key close it.

/** Let the menus of a part of the page close. */
export function enableMenus(part) {
  for (const menu of part.querySelectorAll("details.menu")) {
    const summary = menu.querySelector("summary");
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      summary.focus();
    });
    menu.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (!menu.contains(target)) menu.open = false;
    });
  }
}
