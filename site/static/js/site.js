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

  // A post counts as read once somebody sees it: not when the browser loads it ahead or behind.
  const post = document.querySelector("[data-reading]");
  if (post) {
    const delays = [3000, 30000]; // The site may be restarting; twice the same counts once.
    const send = async () => {
      const options = { method: "POST", keepalive: true };
      const answer = await fetch(post.dataset.reading, options).catch(() => null);
      if ((!answer || answer.status >= 500) && delays.length) setTimeout(send, delays.shift());
    };
    const watch = () => {
      if (document.prerendering || document.visibilityState !== "visible") return;
      document.removeEventListener("visibilitychange", watch);
      document.removeEventListener("prerenderingchange", watch);
      send();
    };
    document.addEventListener("visibilitychange", watch);
    document.addEventListener("prerenderingchange", watch);
    watch();
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
