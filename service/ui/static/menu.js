// Menus of actions: a <details class="menu">, which also opens without this script. Escape, a click
// elsewhere and leaving it with the Tab key close it. Works for menus that are added later, too.

const menuOf = (target) => target.closest("details.menu[open]");

document.addEventListener("keydown", ({ key, target }) => {
  const menu = menuOf(target);
  if (key !== "Escape" || !menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.addEventListener("focusout", ({ target, relatedTarget }) => {
  const menu = menuOf(target);
  if (menu && relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
});
document.addEventListener("pointerdown", ({ target }) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
});
