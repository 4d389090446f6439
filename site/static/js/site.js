// What the public pages do beyond HTML. Without it the menu is open, messages stay and embedded
// pages are links.
(() => {
  const menuButton = document.querySelector("[data-menu-button]");
  if (menuButton) {
    menuButton.hidden = false;
    menuButton.addEventListener("click", () => {
      const open = menuButton.getAttribute("aria-expanded") !== "true";
      menuButton.setAttribute("aria-expanded", String(open));
    });
  }

  for (const menu of document.querySelectorAll("[data-theme-menu]")) {
    document.addEventListener("click", (event) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  }

  for (const button of document.querySelectorAll("[data-dismiss]")) {
    button.hidden = false;
    button.addEventListener("click", () => button.closest(".alert").remove());
  }

  for (const frame of document.querySelectorAll("[data-embed]")) {
    const content = frame.querySelector("template").content;
    const button = frame.querySelector("[data-embed-button]");
    if (!content.firstElementChild) continue; // The other site gave nothing to show.
    button.hidden = false;
    button.addEventListener("click", () => {
      frame.replaceChildren(content.cloneNode(true));
      frame.classList.add("is-open");
      frame.querySelector("iframe")?.focus();
    });
  }
})();
